import { type Clock, systemClock } from "@symphony/core";
import { type Delivery, headersOf } from "./deliveries.ts";
import { wait } from "./wait.ts";

export interface FeedOptions {
  readonly url: string;
  readonly runId: string;
  readonly signal: AbortSignal;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Requests a second; GitHub does not send everything at once either. */
  readonly rate: number;
  /** Signs with another secret than the receiver's. */
  readonly secret?: string;
  readonly onAnswer: (delivery: Delivery, status: number) => void;
  readonly clock?: Clock;
}

/** Milliseconds; longer than a restart of PostgreSQL takes. */
const PATIENCE_MS = 60_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Posts every delivery as GitHub would, and again after a 503 or a broken connection: under the same id, so that it
 * cannot become two messages.
 *
 * @throws {Error} a delivery was refused, or not accepted in a minute.
 */
export async function feed(deliveries: readonly Delivery[], options: FeedOptions): Promise<void> {
  const clock = options.clock ?? systemClock;
  const startedAt = clock.monotonic();
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < deliveries.length && !signal.aborted) {
      const i = next++;
      const delivery = deliveries[i];
      if (delivery === undefined) return;
      await wait(startedAt + (i * 1000) / options.rate - clock.monotonic(), signal, clock);
      if (!signal.aborted) await post(delivery, { ...options, signal }, clock);
    }
  };
  const lanes = Array.from({ length: options.concurrency }, () =>
    lane().catch((error: unknown) => {
      // The other lanes would go on asking a receiver that is not there.
      failed.abort();
      throw error;
    }),
  );
  const results = await Promise.allSettled(lanes);
  const first = results.find((result) => result.status === "rejected");
  if (first !== undefined) throw first.reason;
}

async function post(delivery: Delivery, options: FeedOptions, clock: Clock): Promise<void> {
  const until = clock.monotonic() + PATIENCE_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const status = await tryPost(delivery, options);
    if (options.signal.aborted) return;
    if (status === 200 || status === 202) {
      options.onAnswer(delivery, status);
      return;
    }
    if (status !== undefined && status !== 503) throw new Error(`the receiver answered ${status} to ${delivery.key}`);
    if (clock.monotonic() > until) throw new Error(`the receiver did not accept ${delivery.key} in ${PATIENCE_MS / 1000} s`);
    await wait(pauseMs, options.signal, clock);
  }
}

/** The status, or undefined when there was no answer. */
async function tryPost(delivery: Delivery, { url, runId, secret, signal }: FeedOptions): Promise<number | undefined> {
  try {
    const response = await fetch(`${url}/webhooks/github`, {
      method: "POST",
      headers: headersOf(delivery, runId, secret),
      body: delivery.body,
      signal,
    });
    await response.arrayBuffer();
    return response.status;
  } catch {
    // Whether it was accepted is not known: the same id makes asking again safe.
    return undefined;
  }
}
