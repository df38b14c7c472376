import { hostname } from "node:os";
import { isReapable, type Logger, type Runtime, type Timer, type Transport, toErrorRecord, type Worker } from "@symphony/core";

/** Milliseconds between two beats, as in a fleet: a worker that does not beat for ten seconds is taken for dead. */
const BEAT_MS = 3_000;

export interface LeaseOptions {
  readonly worker: Worker;
  readonly transport: Transport;
  readonly slots: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/**
 * Registers a worker that runs for the length of a request, so that no supervisor takes its messages away; nothing for
 * transports without leases. Resolves when it may receive, with what ends the lease and hands back what is left.
 *
 * @throws {TransportError} `TRANSPORT_UNAVAILABLE`
 */
export async function holdLease({ worker, transport, slots, runtime, logger }: LeaseOptions): Promise<() => Promise<void>> {
  if (!isReapable(transport)) return () => Promise.resolve();
  const beat = (): Promise<boolean> =>
    transport.beat({ workerId: worker.workerId, hostname: hostname(), pid: process.pid, queues: [], slots }, worker.inFlight);
  await beat();
  let timer: Timer;
  const again = async (): Promise<void> => {
    try {
      // Reaped: what it holds belongs to others. It goes on under a new name, which the next beat registers.
      if (!(await beat())) worker.loseLease(runtime.newId());
    } catch (error) {
      logger.warn({ err: toErrorRecord(error) }, "the lease could not be renewed");
    }
    if (running) timer = runtime.clock.schedule(BEAT_MS, () => void again());
  };
  let running = true;
  timer = runtime.clock.schedule(BEAT_MS, () => void again());
  return async () => {
    running = false;
    timer.cancel();
    try {
      await transport.retire(worker.workerId);
    } catch (error) {
      logger.warn({ err: toErrorRecord(error) }, "the worker could not be signed off: its lease runs out by itself");
    }
  };
}
