import {
  type Clock,
  isCountable,
  isPausable,
  isReapable,
  type Messenger,
  type Pause,
  type QueueCounts,
  type Timer,
  type WorkerRow,
} from "@symphony/core";
import { type Recalled, Remembered } from "./remembered.ts";
import { countable, inTime, transportsOf } from "./transports.ts";

export type QueueReading = QueueCounts & { readonly transport: string; readonly paused: boolean; readonly pausedTypes: readonly string[] };
export type WorkerReading = WorkerRow & { readonly transport: string };

export interface StatusReading {
  readonly queues: readonly QueueReading[];
  readonly workers: readonly WorkerReading[];
}

/** Milliseconds for which a status is still worth showing when there is no newer one. */
const SHOWN_WHILE_AWAY_MS = 5_000;
/** Milliseconds: whenever the database goes away, there is a status that is young enough to be shown. */
const EVERY_MS = 2_500;

/** What the status shows: as the database has it now, or as it had it when it last answered. */
export class StatusReadings {
  readonly #reader: Messenger;
  readonly #clock: Clock;
  readonly #remembered: Remembered<StatusReading>;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(o: { readonly reader: Messenger; readonly clock: Clock }) {
    this.#reader = o.reader;
    this.#clock = o.clock;
    this.#remembered = new Remembered({ clock: o.clock, freshMs: 0, staleMs: SHOWN_WHILE_AWAY_MS });
  }

  /** @throws {TransportError} `TRANSPORT_UNAVAILABLE` within three seconds, when nothing young enough is remembered. */
  of(transport: string): Promise<Recalled<StatusReading>> {
    return this.#remembered.get(transport, () => this.#read(transport));
  }

  /** Something was changed by this process: who asks now wants to see it. */
  changed(): void {
    this.#remembered.outdate();
  }

  start(): void {
    const again = (): void => {
      if (this.#stopped) return;
      this.#timer = this.#clock.schedule(EVERY_MS, () => void this.#refresh().then(again), { unref: true });
    };
    void this.#refresh().then(again);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #refresh(): Promise<void> {
    const names = this.#reader.transportNames.filter((name) => isCountable(this.#reader.transport(name)));
    await Promise.all(names.map((name) => this.#remembered.refresh(name, () => this.#read(name), EVERY_MS / 2)));
  }

  async #read(transport: string): Promise<StatusReading> {
    const [queues, workers] = await inTime(
      this.#clock,
      Promise.all([readQueues(this.#reader, transport), readWorkers(this.#reader, transport)]),
    );
    return { queues, workers };
  }
}

/** Of one transport, or of all. */
export async function readQueues(messenger: Messenger, wanted: string | undefined): Promise<readonly QueueReading[]> {
  const lists = transportsOf(messenger, wanted)
    .map(countable)
    .map(async ([transport, source]) => {
      const [counts, pauses] = await Promise.all([source.getCounts(), isPausable(source) ? source.listPauses() : []]);
      return counts.map((each) => ({ transport, ...each, ...pausesOf(each.queue, pauses) }));
    });
  return (await Promise.all(lists)).flat();
}

function pausesOf(queue: string, pauses: readonly Pause[]): { paused: boolean; pausedTypes: string[] } {
  const own = pauses.filter((pause) => pause.queue === queue);
  return { paused: own.some((pause) => pause.type === undefined), pausedTypes: own.flatMap((pause) => pause.type ?? []) };
}

export async function readWorkers(messenger: Messenger, wanted: string | undefined): Promise<readonly WorkerReading[]> {
  const lists = transportsOf(messenger, wanted).map(async ([transport, source]) =>
    isReapable(source) ? (await source.listWorkers()).map((row) => ({ transport, ...row, queues: [...row.queues] })) : [],
  );
  return (await Promise.all(lists)).flat();
}
