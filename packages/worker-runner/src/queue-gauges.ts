import {
  ATTRIBUTES,
  type Clock,
  isCountable,
  type Logger,
  METRICS,
  type MetricDefinition,
  type MetricSeries,
  type QueueCounts,
  type Transport,
  toErrorRecord,
} from "@symphony/core";

export interface QueueGaugesOptions {
  readonly transports: Readonly<Record<string, Transport>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds between two questions to the transports, however often they are scraped. Default 10000. */
  readonly refreshMs?: number;
}

const REFRESH_MS = 10_000;
/** Milliseconds that a scrape waits for new counts before it makes do with the last ones. */
const WAIT_MS = 1_000;
/** Milliseconds after which counts are left out: an old value must not look like a quiet queue. */
const STALE_MS = 60_000;

/**
 * How full the queues are, from the counts that the transports keep. They are asked when somebody looks, and at most once
 * per `refreshMs`; nobody who looks waits for a store that is slow or away.
 */
export class QueueGauges {
  readonly #o: QueueGaugesOptions;
  #counts: readonly QueueCounts[] = [];
  #askedAt = Number.NEGATIVE_INFINITY;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(options: QueueGaugesOptions) {
    this.#o = options;
  }

  /** Never rejects; resolves with nothing when the counts are too old. */
  async read(): Promise<readonly MetricSeries[]> {
    const { clock, refreshMs = REFRESH_MS } = this.#o;
    if (this.#asking === undefined && clock.monotonic() - this.#askedAt >= refreshMs) {
      this.#askedAt = clock.monotonic();
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined;
      });
    }
    if (this.#asking !== undefined) await this.#inTime(this.#asking);
    const sinceMs = clock.monotonic() - this.#answeredAt;
    return sinceMs > STALE_MS ? [] : this.#counts.flatMap((counts) => seriesOf(counts, sinceMs));
  }

  async #ask(): Promise<void> {
    const countable = Object.values(this.#o.transports).filter((transport) => isCountable(transport));
    try {
      this.#counts = merged((await Promise.all(countable.map((transport) => transport.getCounts()))).flat());
      this.#answeredAt = this.#o.clock.monotonic();
    } catch (error) {
      this.#o.logger.debug({ err: toErrorRecord(error) }, "the queues could not be counted");
    }
  }

  async #inTime(work: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = this.#o.clock.schedule(WAIT_MS, late.resolve, { unref: true });
    await Promise.race([work, late.promise]);
    timer.cancel();
  }
}

/** Queues of the same name in several transports are one to whoever looks at the label. */
function merged(counts: readonly QueueCounts[]): readonly QueueCounts[] {
  const sum = (same: readonly QueueCounts[], key: "ready" | "scheduled" | "active" | "failed"): number =>
    same.reduce((total, one) => total + one[key], 0);
  return [...Map.groupBy(counts, ({ queue }) => queue).values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined || same.length === 1) return same;
    const ages = same.flatMap(({ oldestReadyAgeMs }) => oldestReadyAgeMs ?? []);
    const each = { ready: sum(same, "ready"), scheduled: sum(same, "scheduled"), active: sum(same, "active"), failed: sum(same, "failed") };
    return [{ ...first, ...each, oldestReadyAgeMs: ages.length === 0 ? null : Math.max(...ages) }];
  });
}

function seriesOf({ queue, ready, scheduled, active, failed, oldestReadyAgeMs }: QueueCounts, sinceMs: number): readonly MetricSeries[] {
  const labels = { [ATTRIBUTES.destinationName]: queue };
  const gauge = ({ name }: MetricDefinition, value: number): MetricSeries => ({ name, labels, value });
  return [
    gauge(METRICS.queueReady, ready),
    gauge(METRICS.queueScheduled, scheduled),
    gauge(METRICS.queueActive, active),
    gauge(METRICS.queueFailed, failed),
    // What was waiting when it was asked may be waiting still, and has aged.
    gauge(METRICS.queueOldestAge, oldestReadyAgeMs === null ? 0 : (oldestReadyAgeMs + sinceMs) / 1_000),
  ];
}
