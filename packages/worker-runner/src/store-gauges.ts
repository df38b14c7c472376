import {
  ATTRIBUTES,
  type Clock,
  isCountable,
  isMeasurable,
  isSchedulable,
  type Labels,
  type Logger,
  METRICS,
  type MetricDefinition,
  type MetricSeries,
  overdueMs,
  type QueueCounts,
  type Transport,
  toErrorRecord,
} from "@symphony/core";

export interface StoreGaugesOptions {
  readonly transports: Readonly<Record<string, Transport>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds between two questions to the transports, however often they are read. Default 10000. */
  readonly refreshMs?: number;
}

const REFRESH_MS = 10_000;
/** Milliseconds that a reader waits for new values before it makes do with the last ones. */
const WAIT_MS = 1_000;
/** Milliseconds after which values are left out: an old one must not look like a quiet queue. */
const STALE_MS = 60_000;

type Source = (transport: Transport, name: string) => Promise<readonly MetricSeries[]>;

/**
 * How queues, schedules and the store itself are, from what transports can tell at constant cost. They are asked when
 * somebody looks, and at most once per `refreshMs`; nobody who looks waits for a store that is slow or away.
 */
export class StoreGauges {
  readonly #o: StoreGaugesOptions;
  readonly #answers = new Map<Source, { readonly series: readonly MetricSeries[]; readonly at: number }>();
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(options: StoreGaugesOptions) {
    this.#o = options;
  }

  /** Never rejects; what has not been answered for a minute is missing. */
  async read(): Promise<readonly MetricSeries[]> {
    const { clock, refreshMs = REFRESH_MS } = this.#o;
    if (this.#asking === undefined && clock.monotonic() - this.#askedAt >= refreshMs) {
      this.#askedAt = clock.monotonic();
      this.#asking = Promise.all(SOURCES.map((source) => this.#ask(source))).then(() => {
        this.#asking = undefined;
      });
    }
    if (this.#asking !== undefined) await this.#inTime(this.#asking);
    const now = clock.monotonic();
    const fresh = [...this.#answers.values()].filter(({ at }) => now - at <= STALE_MS);
    return fresh.flatMap(({ series, at }) => series.map((one) => aged(one, now - at)));
  }

  async #ask(source: Source): Promise<void> {
    try {
      const answers = await Promise.all(Object.entries(this.#o.transports).map(([name, transport]) => source(transport, name)));
      this.#answers.set(source, { series: merged(answers.flat()), at: this.#o.clock.monotonic() });
    } catch (error) {
      this.#o.logger.debug({ err: toErrorRecord(error) }, "a store could not be measured");
    }
  }

  async #inTime(work: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = this.#o.clock.schedule(WAIT_MS, late.resolve, { unref: true });
    await Promise.race([work, late.promise]);
    timer.cancel();
  }
}

const series = ({ name }: MetricDefinition, labels: Labels, value: number): MetricSeries => ({ name, labels, value });

const ofQueues: Source = async (transport) => (isCountable(transport) ? (await transport.getCounts()).flatMap(ofQueue) : []);

function ofQueue({ queue, ready, scheduled, active, failed, oldestReadyAgeMs }: QueueCounts): readonly MetricSeries[] {
  const labels = { [ATTRIBUTES.destinationName]: queue };
  return [
    series(METRICS.queueReady, labels, ready),
    series(METRICS.queueScheduled, labels, scheduled),
    series(METRICS.queueActive, labels, active),
    series(METRICS.queueFailed, labels, failed),
    series(METRICS.queueOldestAge, labels, (oldestReadyAgeMs ?? 0) / 1_000),
  ];
}

const ofSchedules: Source = async (transport) => {
  if (!isSchedulable(transport)) return [];
  const { now, schedules } = await transport.schedules.list();
  return schedules.map((schedule) =>
    series(METRICS.scheduleOverdue, { [ATTRIBUTES.schedule]: schedule.name }, overdueMs(schedule, now) / 1_000),
  );
};

const ofStores: Source = async (transport, name) => {
  if (!isMeasurable(transport)) return [];
  const measures = await transport.measureStore();
  const labels = { [ATTRIBUTES.transport]: name };
  return [
    series(METRICS.storeConnections, labels, measures.connections),
    series(METRICS.storeMaxConnections, labels, measures.maxConnections),
    series(METRICS.storeTransactionAge, labels, measures.oldestTransactionMs / 1_000),
    series(METRICS.storeHorizonAge, labels, measures.horizonAge),
    series(METRICS.storeDeadRows, labels, measures.deadRows),
    series(METRICS.storeRetention, labels, measures.retentionMs / 1_000),
  ];
};

const SOURCES: readonly Source[] = [ofQueues, ofSchedules, ofStores];

/** Queues and schedules of the same name in several transports are one to whoever looks at the label. */
function merged(found: readonly MetricSeries[]): readonly MetricSeries[] {
  const same = Map.groupBy(found, ({ name, labels }) => `${name}\n${Object.values(labels).join("\n")}`);
  return [...same.values()].flatMap((some) => {
    const [first] = some;
    if (first === undefined || some.length === 1) return some;
    const values = some.map(({ value }) => value as number);
    const isAge = first.name === METRICS.queueOldestAge.name || first.name === METRICS.scheduleOverdue.name;
    return [{ ...first, value: isAge ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0) }];
  });
}

/** What was waiting when it was asked may be waiting still, and has aged. */
function aged(one: MetricSeries, sinceMs: number): MetricSeries {
  if (one.name !== METRICS.queueOldestAge.name || one.value === 0) return one;
  return { ...one, value: (one.value as number) + sinceMs / 1_000 };
}
