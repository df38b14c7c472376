import type { FleetNews, Logger, Runtime, WorkerInfo, WorkerPulse, WorkerRow } from "@symphony/core";
import type { Database, Statement } from "./connection.ts";
import type { Control } from "./controlled.ts";
import type { Notifier } from "./notifier.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { forgetKeys, listWorkers, pulse, reap, reapable, register, renew, requestStop, retire, untidy } from "./worker-statements.ts";

/** Keys are kept for hours: looking for those whose time is over once a minute and process is often enough. */
const TIDY_EVERY_MS = 60_000;
/**
 * Queues at a time, at least, and times in which all of them have had their turn: to ask two hundred at once costs a tenth of
 * a second, when a worker has just started and has other things to do.
 */
const TIDY_AT_ONCE = 8;
const TIDY_TIMES = 8;

/** The list of living workers, and what happens to the messages of those that died. Only the database's clock counts. */
export class Reaper {
  readonly #database: Database;
  readonly #queues: QueueDirectory;
  readonly #notifier: Notifier;
  readonly #control: Control;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #schema: string;
  readonly #register: Statement;
  readonly #renew: Statement;
  readonly #list: Statement;
  readonly #pulse: Statement;
  /** Workers whose first beat we made: when their row is gone they were reaped. */
  readonly #registered = new Set<string>();
  #tidiedAt = Number.NEGATIVE_INFINITY;
  /** Queues whose turn in this minute is still to come. */
  #untidied: QueueInfo[] = [];
  #tidyAtOnce = TIDY_AT_ONCE;

  constructor(input: {
    database: Database;
    queues: QueueDirectory;
    notifier: Notifier;
    control: Control;
    runtime: Runtime;
    logger: Logger;
    schema: string;
  }) {
    this.#database = input.database;
    this.#queues = input.queues;
    this.#notifier = input.notifier;
    this.#control = input.control;
    this.#runtime = input.runtime;
    this.#logger = input.logger;
    this.#schema = input.schema;
    this.#register = register(input.schema);
    this.#renew = renew(input.schema);
    this.#list = listWorkers(input.schema);
    this.#pulse = pulse(input.schema);
  }

  async beat(worker: WorkerInfo, inFlight: number): Promise<boolean> {
    const { workerId, hostname, pid, queues, slots } = worker;
    const known = this.#registered.has(workerId);
    const values = [workerId, hostname, pid, queues, slots, inFlight];
    const rows = await this.#database.run(known ? this.#renew : this.#register, values, "beating", this.#database.beats);
    this.#registered.add(workerId);
    return rows.length > 0;
  }

  /** Over the connection of beats: leases of a whole container hang on it. */
  async pulse(workers: readonly WorkerPulse[]): Promise<FleetNews> {
    const rows = workers.map(({ worker, inFlight }) => {
      const { workerId, hostname, pid, queues, slots } = worker;
      return { id: workerId, hostname, pid, queues, slots, in_flight: inFlight, known: this.#registered.has(workerId) };
    });
    const found = await this.#database.run(this.#pulse, [JSON.stringify(rows)], "beating", this.#database.beats);
    const [lost, stopRequestedAt, now, epoch, silentMs] = found[0] as [string[], string | null, string, number | null, number];
    // Not waited for: leases of a whole container hang on this answer.
    this.#control.pauses.heard(epoch).catch((error: unknown) => this.#logger.debug({ err: error }, "the pauses could not be read"));
    for (const { id } of rows) this.#registered.add(id);
    return { lost, stopRequestedAt, now, silentMs };
  }

  async requestStop(): Promise<void> {
    await this.#database.run(requestStop(this.#schema), [], "asking workers to stop");
  }

  async reap(olderThanMs: number): Promise<{ workers: readonly string[]; messages: number }> {
    const dead = await this.#queues.deadLetters();
    const [asked] = await this.#database.run(reapable(this.#schema, dead), [olderThanMs], "looking for dead workers");
    const rows = asked?.[0] === true ? await this.#database.run(reap(this.#schema, dead), [olderThanMs], "reaping") : [];
    const workers = rows.flatMap((row) => (row[0] === null ? [] : [row[0] as string]));
    const taken = rows.flatMap((row) => (row[1] === null ? [] : [row[1] as string]));
    this.#notifier.notify(new Set(taken));
    await this.#tidy();
    return { workers, messages: taken.length };
  }

  async retire(workerId: string, how: "interrupted" | "suspected"): Promise<{ messages: number }> {
    const rows = await this.#database.run(retire(this.#schema, await this.#queues.deadLetters(), how), [workerId], "retiring a worker");
    this.#notifier.notify(new Set(rows.map((row) => row[0] as string)));
    return { messages: rows.length };
  }

  async list(): Promise<readonly WorkerRow[]> {
    const rows = await this.#database.run(this.#list, [], "listing workers");
    return rows.map((row) => {
      const [workerId, hostname, pid, queues, slots, startedAt, lastBeatAt, inFlight] = row as [
        string,
        string,
        number,
        string[],
        number,
        string,
        string,
        number,
      ];
      return { workerId, hostname, pid, queues, slots, startedAt, lastBeatAt, inFlight };
    });
  }

  /** pg-boss's own maintenance, which would do this, is off: nothing else of it is wanted. */
  async #tidy(): Promise<void> {
    const now = this.#runtime.clock.monotonic();
    if (this.#untidied.length === 0 && now - this.#tidiedAt < TIDY_EVERY_MS) return;
    try {
      if (this.#untidied.length === 0) {
        this.#tidiedAt = now;
        // From anywhere: processes that live for a few seconds would all ask the same ones.
        const all = await this.#queues.all();
        const from = Math.floor(this.#runtime.random() * all.length);
        this.#untidied = [...all.slice(from), ...all.slice(0, from)];
        this.#tidyAtOnce = Math.max(TIDY_AT_ONCE, Math.ceil(all.length / TIDY_TIMES));
      }
      const queues = this.#untidied.splice(0, this.#tidyAtOnce);
      const rows = await this.#database.run(untidy(this.#schema, queues), [], "looking for what to tidy up");
      const asked = rows[0]?.[0] as boolean[];
      for (const [i, queue] of queues.entries()) {
        if (asked[2 * i]) await this.#database.run(forgetKeys(this.#schema, queue), [], "forgetting idempotency keys");
        if (asked[2 * i + 1]) await this.#control.queues.tidy(queue);
      }
    } catch (error) {
      // Perhaps one of them is gone: in the next minute those that there are.
      this.#untidied = [];
      this.#logger.debug({ err: error }, "the queues could not be tidied up; trying again later");
    }
  }
}
