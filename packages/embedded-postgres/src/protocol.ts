import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";

/** What a client says first. `token` proves that it may read the directory, so that it is of the same user. */
export interface Hello {
  readonly token: string;
  /** Milliseconds for which the host stays when this client was the last to leave. */
  readonly lingerMs: number;
}

/** What the host answers, once, when PostgreSQL runs or does not. From then on the open connection is the client's claim. */
export type Answer =
  | { readonly kind: "ready"; readonly connectionString: string; readonly version: string }
  | { readonly kind: "failed"; readonly reason: string };

/** Where a running host listens. The port is on loopback; the file that holds this is readable for its user only. */
export interface HostRecord {
  readonly pid: number;
  readonly port: number;
  readonly token: string;
}

export function send(socket: Socket, message: Hello | Answer): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

/** Calls `onMessage` with the first line that arrives, if it is JSON of a sensible size; otherwise drops the connection. */
export function receiveOne(socket: Socket, onMessage: (message: Record<string, unknown>) => void): void {
  let text = "";
  const collect = (chunk: Buffer): void => {
    text += chunk.toString("utf8");
    const end = text.indexOf("\n");
    if (end === -1 && text.length < 65_536) return;
    socket.off("data", collect);
    socket.resume();
    const message = parseObject(text.slice(0, end));
    if (message === undefined) socket.destroy();
    else onMessage(message);
  };
  socket.on("data", collect);
}

export function parseAnswer(message: Record<string, unknown>): Answer | undefined {
  const { kind, connectionString, version, reason } = message;
  if (kind === "ready" && typeof connectionString === "string" && typeof version === "string") return { kind, connectionString, version };
  return kind === "failed" && typeof reason === "string" ? { kind, reason } : undefined;
}

export function readHostRecord(path: string): HostRecord | undefined {
  const { pid, port, token } = readJson(path) ?? {};
  return typeof pid === "number" && typeof port === "number" && typeof token === "string" ? { pid, port, token } : undefined;
}

/** The object in a JSON file; undefined if there is no such file or nothing sensible in it. */
export function readJson(path: string): Record<string, unknown> | undefined {
  try {
    return parseObject(readFileSync(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Writes at once or not at all, readable for the owner only. */
export function writeJson(path: string, value: object): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(value)}\n`, { mode: 0o600, flush: true });
  renameSync(draft, path);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Not JSON: whoever is on the other side is not ours, or a file was cut short. Both mean "nothing there".
    return undefined;
  }
}
