import { DURATION_BUCKETS_S, METRICS, type MetricDefinition, OTHER } from "./names.ts";

/** Attribute → value. */
export type Labels = Readonly<Record<string, string>>;

export interface HistogramValue {
  readonly sum: number;
  /** One per bucket of `DURATION_BUCKETS_S`, not cumulative, and one for what is over the last. */
  readonly counts: readonly number[];
}

/** One line of a metric: what was counted so far, or added since somebody last asked. Plain data, to cross processes. */
export interface MetricSeries {
  /** As in `METRICS`. */
  readonly name: string;
  readonly labels: Labels;
  readonly value: number | HistogramValue;
}

export interface Counter {
  add(count: number): void;
}

export interface Histogram {
  /** @param seconds - 0 or more. */
  observe(seconds: number): void;
}

interface Cell {
  readonly labels: Labels;
  readonly total: () => number | HistogramValue;
  /** What came since the last call; undefined when nothing did. */
  readonly drain: () => number | HistogramValue | undefined;
  readonly merge: (value: number | HistogramValue) => void;
}

/** Series of one metric; what is beyond is counted together under `_OTHER`, so that no name that comes from outside can fill the memory. */
const MAX_SERIES = 1_000;

const DEFINITIONS: ReadonlyMap<string, MetricDefinition> = new Map(Object.values(METRICS).map((each) => [each.name, each]));

/**
 * Counts what happens in this process: a few additions per message, no allocation, no I/O. `drain` hands over what was
 * added since, `merge` takes such a share from another thread or process into the same sums, so that nothing is counted
 * twice and what was once handed over outlives its process.
 */
export class Meter {
  readonly #metrics = new Map<string, Map<string, Cell>>();

  /** The same labels give the same counter; keep it where it is used often. */
  counter(definition: MetricDefinition, labels: Labels = {}): Counter {
    return this.#cell(definition, labels, createCounter) as unknown as Counter;
  }

  histogram(definition: MetricDefinition, labels: Labels = {}): Histogram {
    return this.#cell(definition, labels, createHistogram) as unknown as Histogram;
  }

  /** Everything since the start of this meter. */
  series(): readonly MetricSeries[] {
    return this.#collect((cell) => cell.total());
  }

  /** What was added since the last call; empty when nothing was. */
  drain(): readonly MetricSeries[] {
    return this.#collect((cell) => cell.drain());
  }

  /** Adds what another meter has drained. Names that are not in `METRICS` are left out: they come from another process. */
  merge(shares: readonly MetricSeries[]): void {
    for (const { name, labels, value } of shares) {
      const definition = DEFINITIONS.get(name);
      if (definition === undefined || definition.kind === "gauge" || (definition.kind === "counter") !== (typeof value === "number"))
        continue;
      this.#cell(definition, labels, definition.kind === "counter" ? createCounter : createHistogram).merge(value);
    }
  }

  #collect(read: (cell: Cell) => number | HistogramValue | undefined): MetricSeries[] {
    const found: MetricSeries[] = [];
    for (const [name, cells] of this.#metrics) {
      for (const cell of cells.values()) {
        const value = read(cell);
        if (value !== undefined) found.push({ name, labels: cell.labels, value });
      }
    }
    return found;
  }

  #cell(definition: MetricDefinition, labels: Labels, create: (labels: Labels) => Cell): Cell {
    const cells = this.#metrics.get(definition.name) ?? new Map<string, Cell>();
    if (cells.size === 0) this.#metrics.set(definition.name, cells);
    const key = definition.attributes.map((attribute) => labels[attribute] ?? "").join("\n");
    const known = cells.get(key);
    if (known !== undefined) return known;
    // The last place is kept for all that does not fit.
    if (cells.size >= MAX_SERIES - 1 && !isRest(labels)) return this.#cell(definition, restOf(labels), create);
    const cell = create(pick(labels, definition.attributes));
    cells.set(key, cell);
    return cell;
  }
}

const pick = (labels: Labels, attributes: readonly string[]): Labels =>
  Object.freeze(Object.fromEntries(attributes.flatMap((name) => (labels[name] === undefined ? [] : [[name, labels[name]]]))));
const restOf = (labels: Labels): Labels => Object.fromEntries(Object.keys(labels).map((name) => [name, OTHER]));
const isRest = (labels: Labels): boolean => Object.values(labels).every((value) => value === OTHER);

function createCounter(labels: Labels): Cell & Counter {
  let total = 0;
  // The first share is told even if it is 0: what has not happened yet must be seen rising.
  let drained: number | undefined;
  return {
    labels,
    add(count) {
      total += count;
    },
    total: () => total,
    drain() {
      if (total === drained) return undefined;
      const since = total - (drained ?? 0);
      drained = total;
      return since;
    },
    merge(value) {
      total += value as number;
    },
  };
}

function createHistogram(labels: Labels): Cell & Histogram {
  const size = DURATION_BUCKETS_S.length + 1;
  const counts = new Array<number>(size).fill(0);
  let drained = counts.slice();
  let sum = 0;
  let drainedSum = 0;
  let changed = false;
  return {
    labels,
    observe(seconds) {
      let at = 0;
      while (at < size - 1 && seconds > (DURATION_BUCKETS_S[at] as number)) at += 1;
      counts[at] = (counts[at] as number) + 1;
      sum += seconds;
      changed = true;
    },
    total: () => ({ sum, counts: counts.slice() }),
    drain() {
      if (!changed) return undefined;
      const since = { sum: sum - drainedSum, counts: counts.map((count, at) => count - (drained[at] as number)) };
      drained = counts.slice();
      drainedSum = sum;
      changed = false;
      return since;
    },
    merge(value) {
      const share = value as HistogramValue;
      for (let at = 0; at < size; at++) counts[at] = (counts[at] as number) + (share.counts[at] ?? 0);
      sum += share.sum;
      changed = true;
    },
  };
}
