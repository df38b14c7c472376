import { get, type IncomingMessage } from "node:http";
import { text as textOf } from "node:stream/consumers";
import { defineCommand, text } from "../command.ts";
import { CommandFailed, UsageError } from "../exit-codes.ts";
import { print } from "../output.ts";
import { resolveSettings } from "../settings.ts";

const CHECKS = ["live", "ready", "started"] as const;
const PATHS: Readonly<Record<string, string>> = { live: "livez", ready: "readyz", started: "startupz" };
/** Milliseconds; the listener answers from memory. */
const ANSWERS_WITHIN_MS = 3_000;

export const health = defineCommand({
  usage: "health",
  describe: "Ask the fleet or the admin API of this machine whether it is well; for container engines",
  options: {
    check: text(`What to ask: ${CHECKS.join(", ")} (live)`),
    "health-port": text("Port of the probes (8081)"),
  },
  examples: [
    ["symphony health", "0 when it is alive, 1 when it is not"],
    ["symphony health --check ready", "0 when it takes messages"],
  ],
  async run(io, flags) {
    const check = flags.check ?? "live";
    const path = PATHS[check];
    if (path === undefined) throw new UsageError(`--check must be one of ${CHECKS.join(", ")}`);
    // The configuration is user code: somebody who only asks has no reason to run it.
    const { value: port } = resolveSettings({ flags: { "health-port": flags["health-port"] }, environment: io.environment }).healthPort;
    const answer = await ask(`http://127.0.0.1:${port}/${path}`, io.signal);
    const ok = answer.status === 200;
    print(io, flags.json === true, { success: ok, check, port, status: answer.status, answer: answer.text }, () => answer.text);
    if (!ok) throw new CommandFailed(`not ${check}`);
  },
});

/** By node:http: loading `fetch` costs more than the rest of the command, and this one runs every few seconds. */
async function ask(url: string, signal: AbortSignal): Promise<{ readonly status: number; readonly text: string }> {
  const answered = Promise.withResolvers<IncomingMessage>();
  get(url, { agent: false, signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWERS_WITHIN_MS)]) }, answered.resolve).on(
    "error",
    answered.reject,
  );
  try {
    const response = await answered.promise;
    return { status: response.statusCode ?? 0, text: (await textOf(response)).trim() };
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    const why = cause instanceof Error && cause.message !== "" ? cause.message : (error as Error).message;
    throw new CommandFailed(`nobody answers at ${url}: ${why}`);
  }
}
