import { createHash } from "node:crypto";
import type { ErrorRecord } from "./error-record.ts";

/**
 * Sixteen hex digits, equal for failures of one bug: message type, error class, the message without its variable parts
 * (numbers, ids, quoted text) and the first stack frame outside `node_modules` and Node itself, without line numbers,
 * so that a fingerprint outlives an unrelated edit of the file.
 */
export function fingerprint(type: string, error: ErrorRecord): string {
  return createHash("sha256")
    .update([type, error.name, error.code ?? "", normalise(error.message), firstOwnFrame(error.stack)].join("\n"))
    .digest("hex")
    .slice(0, 16);
}

function normalise(message: string): string {
  return message
    .slice(0, 500)
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, "<id>")
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, "<text>")
    .replace(/\b(0x)?[0-9a-f]{12,}\b/gi, "<hex>")
    .replace(/\d+/g, "<n>");
}

function firstOwnFrame(stack: string | undefined): string {
  for (const line of stack?.split("\n") ?? []) {
    const frame = /^\s*at (.*)$/.exec(line)?.[1];
    if (frame === undefined || frame.includes("node_modules") || frame.includes("node:")) continue;
    return frame.replace(/:\d+(:\d+)?\)?$/, "").replace(/.*[/\\](?=[^/\\]+$)/, "");
  }
  return "";
}
