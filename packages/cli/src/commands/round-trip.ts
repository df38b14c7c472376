import { integer, isFindable, type MessageState, type Messenger, MessengerError, systemRuntime } from "@symphony/core";
import { defineCommand, text } from "../command.ts";
import { CommandFailed } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { duration, print } from "../output.ts";
import { openSession, withMessenger, withoutAutoSetup } from "../session.ts";
import { parseJson, typeOf } from "./dispatch/request.ts";
import { asUsage } from "./failed/selection.ts";

const DEFAULT_TIMEOUT_S = 30;
const LOOK_EVERY_MS = 100;

interface Trip {
  readonly messageId: string;
  readonly queue: string;
  readonly state: MessageState | "unknown";
  readonly tookMs: number;
}

/** Sends one message and follows it until it has ended, or for so long. */
async function follow(io: Io, messenger: Messenger, o: { type: string; payload: unknown; timeoutMs: number }): Promise<Trip> {
  // With a key it stays findable after it was handled; a new one each time, so that it is never a duplicate.
  const idempotencyKey = `round-trip-${systemRuntime.newId()}`;
  const startedAt = io.clock.monotonic();
  const { messageId, queue, transport } = await messenger.dispatch(typeOf(messenger, o.type, false), o.payload, { idempotencyKey });
  const source = messenger.transport(transport);
  if (!isFindable(source)) throw new MessengerError("CAPABILITY_MISSING", `the transport "${transport}" cannot tell where a message is`);
  for (;;) {
    const state = (await source.findMessage(messageId))?.state ?? "unknown";
    const tookMs = Math.round(io.clock.monotonic() - startedAt);
    if (["handled", "failed", "cancelled"].includes(state) || tookMs >= o.timeoutMs || io.signal.aborted) {
      return { messageId, queue, state, tookMs };
    }
    await new Promise<void>((resolve) => io.clock.schedule(LOOK_EVERY_MS, resolve));
  }
}

export const roundTrip = defineCommand({
  usage: "round-trip <type> [payload]",
  describe: "Send one message and wait until the fleet has handled it",
  options: { timeout: text(`Seconds (${DEFAULT_TIMEOUT_S})`) },
  positionals: (yargs) =>
    yargs
      .positional("type", { type: "string", demandOption: true, describe: "A type that is handled without harm" })
      .positional("payload", { type: "string", describe: "JSON; {} when left out" }),
  examples: [["symphony round-trip app.ping --timeout 10", "after a deployment: 0 when it was handled in time"]],
  async run(io, flags) {
    const timeoutMs = asUsage(integer({ min: 1, max: 3_600 }), flags.timeout ?? String(DEFAULT_TIMEOUT_S), "--timeout") * 1_000;
    const given = flags.payload as string | undefined;
    const payload = given === undefined ? {} : parseJson(given, "the payload");
    const session = await openSession(io, flags);
    const trip = await withMessenger(
      session,
      (messenger) => follow(io, messenger, { type: flags.type as string, payload, timeoutMs }),
      withoutAutoSetup(session.loaded.config),
    );
    const handled = trip.state === "handled";
    print(io, flags.json === true, { success: handled, ...trip }, () => `${trip.messageId} ${trip.state} after ${duration(trip.tookMs)}`);
    if (!handled)
      throw new CommandFailed(trip.state === "failed" ? "it was dead-lettered: symphony failed show" : "it was not handled in time");
  },
});
