import type { Clock } from "./clock.ts";
import type { ConsumeLoop } from "./consume-loop.ts";
import { MessengerError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { WorkerReport } from "./worker-report.ts";

/** Milliseconds that handlers get after their signal was aborted, before their messages are handed back regardless. */
const ABORT_GRACE_MS = 500;
/** Milliseconds for the last settlements when handlers ran past the deadline: with the grace, under a second in all. */
const LAST_FLUSH_MS = 400;
/** Milliseconds for them when everything had ended in time: a short outage of the database need not cost a redelivery. */
const CALM_FLUSH_MS = 5_000;
const FLUSH_PAUSE_MS = 100;

export interface WindDownInput {
  readonly loop: ConsumeLoop;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly report: WorkerReport;
  /** On the monotonic clock; may move closer while the wind-down waits. */
  readonly deadline: () => number;
}

/** Ends a loop in order: hand back what was not started, wait, abort, hand back the rest, write it all down. */
export async function windDown(input: WindDownInput): Promise<void> {
  const { loop, clock, deadline } = input;
  loop.releaseBuffer();
  await waitForInFlight(input, deadline);
  if (loop.processing > 0) {
    loop.abort(new MessengerError("INTERRUPTED", "the worker is stopping"));
    const until = clock.monotonic() + ABORT_GRACE_MS;
    await waitForInFlight(input, () => until);
  }
  loop.abandonInFlight();
  await lastFlush(input);
}

/** Waits while handlers run, and settles what ends meanwhile. */
async function waitForInFlight({ loop, clock, report }: WindDownInput, until: () => number): Promise<void> {
  await loop.settler.flush().catch((error: unknown) => report.error(error));
  while (loop.processing > 0) {
    const leftMs = until() - clock.monotonic();
    if (leftMs <= 0) return;
    const timer = clock.schedule(leftMs, () => loop.wake([]));
    await loop.changed();
    timer.cancel();
    await loop.settler.flush().catch((error: unknown) => report.error(error));
  }
}

async function lastFlush({ loop, clock, logger, report, deadline }: WindDownInput): Promise<void> {
  const now = clock.monotonic();
  const until = now < deadline() ? Math.min(now + CALM_FLUSH_MS, deadline() + LAST_FLUSH_MS) : now + LAST_FLUSH_MS;
  while (loop.settler.pending > 0) {
    try {
      await loop.settler.flush();
    } catch (error) {
      report.error(error);
      if (clock.monotonic() + FLUSH_PAUSE_MS > until) {
        logger.error({ count: loop.settler.pending }, "settlements could not be written; the messages will be delivered again");
        return;
      }
      await new Promise<void>((resolve) => clock.schedule(FLUSH_PAUSE_MS, resolve));
    }
  }
}
