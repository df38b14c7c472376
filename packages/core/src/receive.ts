import type { Settler } from "./settle.ts";
import type { MessageMetrics } from "./telemetry/message-metrics.ts";
import { OPERATIONS } from "./telemetry/names.ts";
import type { Received } from "./transport.ts";
import type { ParsedWorkerOptions } from "./worker-options.ts";

/** Receipts that ride with one receive at most; what is left goes with the next. */
const MAX_RIDING_ACKNOWLEDGEMENTS = 5_000;

/** What is special about one receive. */
export interface ReceiveKind {
  /** Queues that wake-ups have named since the receive before. */
  readonly notified?: readonly string[];
  /** It is one more beside the first of this worker. */
  readonly isBeside?: boolean;
}

export interface ReceiveCall extends Required<ReceiveKind> {
  /** Messages, at most. */
  readonly room: number;
  readonly workerId: string;
  /** Undefined: all. */
  readonly queues: readonly string[] | undefined;
  /** The only queue, for metrics. */
  readonly only: string | undefined;
}

export interface ReceiveAnswer {
  readonly messages: readonly Received[];
  /** Enough others were under way; one beside another may not have looked then. */
  readonly isBusy: boolean;
  /** Monotonic. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Adds messages and duration to the metrics: to be called once when the handlers have been started; without messages that is done. */
  readonly count: () => void;
}

/** One receive, measured; at once counted unless it brings something; what waits to be acknowledged rides with it. Throws what the transport throws. */
export async function receive(
  { transport, runtime, stopWhenEmpty }: ParsedWorkerOptions,
  settler: Settler,
  metrics: MessageMetrics,
  { room, workerId, queues, only, notified, isBeside }: ReceiveCall,
): Promise<ReceiveAnswer> {
  const acknowledge = settler.take(MAX_RIDING_ACKNOWLEDGEMENTS);
  const startedAt = runtime.clock.monotonic();
  const ride = settler.ride(acknowledge);
  try {
    const chosen = queues === undefined ? {} : { queues };
    // Who ends when there is nothing must be told the whole truth.
    const hint = notified.length === 0 || stopWhenEmpty ? {} : { notified };
    let isBusy = false;
    const onBusy = (): void => {
      isBusy = true;
    };
    const options = { workerId, ...chosen, ...hint, isBeside, onBusy, acknowledge, onSettled: ride.settled };
    const messages = await transport.receive(room, options);
    const endedAt = runtime.clock.monotonic();
    const count = (): void => {
      metrics.operation(OPERATIONS.receive, endedAt - startedAt, { queue: only });
      metrics.consumed(messages);
    };
    // Nobody waits for these.
    if (messages.length === 0) count();
    return { messages, isBusy, startedAt, endedAt, count };
  } catch (error) {
    metrics.operation(OPERATIONS.receive, runtime.clock.monotonic() - startedAt, { queue: only, error });
    throw error;
  } finally {
    ride.end();
  }
}
