import { type Logger, type Messenger, type Runtime, Scheduler, toErrorRecord } from "@symphony/core";

/**
 * Dispatches what schedules have due by now: where nothing stays that could watch the clock, a request is the moment to
 * do so. Ends within `withinMs`, and fails never: there is other work to be done.
 */
export async function dispatchDue(o: {
  readonly messenger: Messenger;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly withinMs: number;
}): Promise<void> {
  const { messenger, runtime, logger, withinMs } = o;
  if (messenger.config.schedules.length === 0) return;
  const late = Promise.withResolvers<void>();
  const timer = runtime.clock.schedule(withinMs, late.resolve, { unref: true });
  try {
    const scheduler = new Scheduler({ messenger, logger });
    try {
      await Promise.race([scheduler.runDue(), late.promise]);
    } finally {
      // Whatever is not being stored yet is left to the next request.
      await scheduler.stop();
    }
  } catch (error) {
    logger.warn({ err: toErrorRecord(error) }, "schedules could not be looked at");
  } finally {
    timer.cancel();
  }
}
