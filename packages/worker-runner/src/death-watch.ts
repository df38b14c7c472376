import { currentAttempt, MessengerError, type Received, toErrorRecord } from "@symphony/core";
import type { ThreadReceived } from "./thread-loop.ts";
import type { ThreadOutbox } from "./thread-outbox.ts";

/**
 * An error that nobody caught, or `process.exit` in a handler, ends the thread: what its code left behind is unknown.
 * Before it goes it names the message in whose context that happened.
 */
export function watchForDeath(
  outbox: ThreadOutbox,
  isRunning: (received: Received) => boolean,
): { die(error: unknown): never; forget(): void } {
  let dying = false;
  const report = (error: unknown): void => {
    if (dying) return;
    dying = true;
    const received = currentAttempt.getStore()?.received as ThreadReceived | undefined;
    outbox.flush({
      error: toErrorRecord(error),
      ...(received === undefined ? {} : { messageId: received.receipt.id }),
      ...(received !== undefined && isRunning(received) ? { slot: received.slot } : {}),
    });
  };
  const die = (error: unknown): never => {
    report(error);
    process.exit(1);
  };
  const onExit = (code: number): void => report(new MessengerError("HANDLER_CRASHED", `process.exit(${code}) was called in a pool thread`));
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  process.on("exit", onExit);
  const forget = (): void => {
    process.off("uncaughtException", die);
    process.off("unhandledRejection", die);
    process.off("exit", onExit);
  };
  return { die, forget };
}
