import { type Clock, systemClock } from "@symphony/core";
import { settleAccounts } from "./accounting.ts";
import type { Arguments } from "./arguments.ts";
import { type Delivery, forge, loadDeliveries } from "./deliveries.ts";
import { feed } from "./feeder.ts";
import { SubscriberDeliver } from "./messages.ts";
import { type Before, countsBefore, gatherEvidence, listDeadLetters, type Observation, observe, toSnapshot } from "./observe.ts";
import { type Output, Progress } from "./progress.ts";
import { openStage, type Stage } from "./stage.ts";
import { renderSummary } from "./summary.ts";
import type { Palette } from "./terminal.ts";
import { wait } from "./wait.ts";

export interface RunOptions {
  readonly arguments: Arguments;
  readonly output: Output;
  readonly palette: Palette;
  /** Aborts on Ctrl-C: everything is closed in order, what is waiting waits for the next run. */
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

const EXIT = { ok: 0, notAccountedFor: 1, interrupted: 130 } as const;

const FORGED = 3;
const REDELIVERED = 20;
const LANES = 8;
const LOOK_EVERY_MS = 250;
/** The worker is killed when so large a share of the webhooks is done; for several kills, spread up to it. */
const LAST_KILL_AT = 0.6;
const COUNTERS_WITHIN_MS = 5_000;
const WORKER_WITHIN_MS = 30_000;
/** Nothing has moved for so long: something is stuck, and waiting does not help. */
const PATIENCE_MS = 90_000;

/** The example from start to end; resolves with the exit code. Nothing of it runs any more then. */
export async function runExample(options: RunOptions): Promise<number> {
  const progress = new Progress(options.output, options.palette);
  try {
    await using stage = await openStage({
      signal: options.signal,
      port: options.arguments.port,
      worker: !options.arguments.withoutWorker,
      subscriberPort: options.arguments.subscriberPort,
      say: (text) => progress.note(text),
      onLog: (line) => {
        if (options.arguments.verbose) progress.note(line);
      },
    });
    return await new Run(stage, progress, options).toTheEnd();
  } finally {
    progress.finish();
  }
}

/** Milliseconds: workers write their counts down once a second, so those of the last messages come late. */
const COUNTS_LATE_MS = 3_000;

class Run {
  readonly #stage: Stage;
  readonly #progress: Progress;
  readonly #o: RunOptions;
  readonly #clock: Clock;
  #startedAt: number;
  readonly #deliveries = loadDeliveries();
  readonly #killAt: number[];
  #before: Before = new Map();
  #kills = 0;

  constructor(stage: Stage, progress: Progress, options: RunOptions) {
    this.#stage = stage;
    this.#progress = progress;
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
    this.#startedAt = this.#clock.monotonic();
    const { kills } = options.arguments;
    this.#killAt = Array.from({ length: kills }, (_, i) => (LAST_KILL_AT * this.#deliveries.length * (i + 1)) / kills);
  }

  async toTheEnd(): Promise<number> {
    const { signal } = this.#o;
    await this.#waitForWorker();
    if (!signal.aborted) await this.#finishEarlierRuns();
    if (!signal.aborted) await this.#workThroughEverything();
    const redriven = signal.aborted ? new Set<string>() : await this.#repairAndRedrive();
    if (signal.aborted) return this.#interrupted();
    const addUp = await this.#summarise(redriven);
    if (this.#o.arguments.once) return addUp ? EXIT.ok : EXIT.notAccountedFor;
    this.#sayWhereToLook();
    await Promise.race([
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
      this.#stage.fleet.ended,
    ]);
    return addUp ? EXIT.ok : EXIT.notAccountedFor;
  }

  /** So that the first webhooks are not measured by the start of a process. If it takes too long, they wait in their queue. */
  async #waitForWorker(): Promise<void> {
    const until = this.#clock.monotonic() + WORKER_WITHIN_MS;
    while (!this.#o.signal.aborted && !(await this.#stage.hasWorker()) && this.#clock.monotonic() < until) {
      await Promise.race([wait(LOOK_EVERY_MS, this.#o.signal, this.#clock), this.#stage.fleet.ended]);
    }
    this.#startedAt = this.#clock.monotonic();
  }

  /** A run that was cut short leaves messages behind; they are worked off before anything is counted. */
  async #finishEarlierRuns(): Promise<void> {
    this.#before = countsBefore(await this.#stage.transport.getCounts());
    const { unsettled } = await this.#look();
    if (unsettled === 0) return;
    this.#progress.note(`${unsettled} messages of an earlier run are waiting: they come first`);
    await this.#watch("finishing an earlier run", (seen) => seen.unsettled === 0);
    await wait(COUNTS_LATE_MS, this.#o.signal, this.#clock);
    this.#before = countsBefore(await this.#stage.transport.getCounts());
  }

  async #workThroughEverything(): Promise<void> {
    let posted = false;
    const posting = this.#post().then(() => {
      posted = true;
    });
    const watching = this.#watch("working", (seen) => posted && this.#isDrained(seen));
    // A webhook that cannot be posted, or a stuck queue, ends both.
    await Promise.all([posting, watching]);
  }

  async #post(): Promise<void> {
    const { rate } = this.#o.arguments;
    const { receiver, runId } = this.#stage;
    const common = {
      url: receiver.url,
      runId,
      signal: this.#o.signal,
      concurrency: LANES,
      rate,
      clock: this.#clock,
      onAnswer: () => undefined,
    };
    await feed(this.#deliveries, common);
    await feed(forge(this.#deliveries, FORGED), { ...common, secret: "a guess" });
    await feed(this.#redelivered(), common);
  }

  /** GitHub sends a webhook again when it did not see our answer: every so-many-th, under the same id. */
  #redelivered(): Delivery[] {
    const step = Math.floor(this.#deliveries.length / REDELIVERED);
    return this.#deliveries.filter((_, i) => i % step === 0).slice(0, REDELIVERED);
  }

  #isDrained({ tables, unsettled }: Observation): boolean {
    return unsettled === 0 && tables.summariesHandled === tables.summariesDispatched;
  }

  /** What a person would do on finding the dead letters: repair the cause, then send them back. */
  async #repairAndRedrive(): Promise<ReadonlySet<string>> {
    const letters = await listDeadLetters(this.#stage);
    const ids = letters.filter(({ type }) => type === SubscriberDeliver.name).map(({ id }) => id);
    if (ids.length === 0) return new Set();
    this.#progress.note(`${letters.length} dead letters: ${describe(letters)}`);
    this.#progress.note(`the subscribers are repaired, ${ids.length} dead letters go back to their queue`);
    this.#stage.subscribers.repair();
    const { redriven } = await this.#stage.transport.redriveDeadLetters({ ids }, ids.length);
    await this.#watch("redriving", (seen) => this.#isDrained(seen));
    return new Set(redriven);
  }

  async #summarise(redriven: ReadonlySet<string>): Promise<boolean> {
    const workerLost = this.#o.arguments.withoutWorker || this.#stage.fleet.losses > 0;
    if (!workerLost) await this.#waitForCounters();
    const seen = await this.#look();
    this.#show(seen, "done");
    this.#progress.finish();
    const evidence = await gatherEvidence(this.#stage, seen, {
      payloads: this.#deliveries.length,
      forged: FORGED,
      redelivered: REDELIVERED,
      redriven,
      workerLost,
    });
    const accounts = settleAccounts(evidence);
    const summary = renderSummary(
      {
        accounts,
        elapsedMs: this.#elapsedMs,
        repositories: seen.tables.repositories,
        latencyMs: seen.tables.latencyMs,
        failures: seen.failures,
        deadLetters: tally(evidence.deadLetters),
        kills: this.#kills,
        repeatedDeliveries: evidence.repeatedDeliveries,
      },
      this.#o.palette,
    );
    this.#o.output.write(`\n${summary}\n`);
    return accounts.addUp;
  }

  /** The transport writes its counters once a second: they come in behind the rest, or not at all. */
  async #waitForCounters(): Promise<void> {
    const until = this.#clock.monotonic() + COUNTERS_WITHIN_MS;
    await this.#watch(
      "counting",
      ({ completed, tables, delivered }) =>
        completed === tables.activities + tables.summariesHandled + delivered || this.#clock.monotonic() > until,
    );
  }

  async #interrupted(): Promise<number> {
    const { unsettled } = await this.#look();
    this.#progress.note(unsettled === 0 ? "stopped" : `stopped: ${unsettled} messages are waiting, the next run finishes them first`);
    return this.#o.arguments.once ? EXIT.interrupted : EXIT.ok;
  }

  #sayWhereToLook(): void {
    const { receiver, subscribers, admin } = this.#stage;
    const config = "--config examples/github-webhooks/symphony.config.ts";
    const { bold, dim } = this.#o.palette;
    this.#o.output.write(
      [
        `  ${bold("Still running:")}`,
        `    webhooks       POST ${receiver.url}/webhooks/github`,
        `    summaries      ${receiver.url}/repositories`,
        `    subscribers    ${subscribers.url}`,
        `    admin API      ${admin.url}`,
        `    its token      ${admin.token}`,
        `  ${bold("To look inside, in another terminal:")}`,
        `    npx symphony status ${config}`,
        `    npx symphony failed list ${config}`,
        `    curl -H "Authorization: Bearer ${admin.token}" ${admin.url}/api/symphony/status`,
        `  ${dim("Ctrl-C ends it.")}`,
        "",
      ].join("\n"),
    );
  }

  /** Looks and draws until `done`, or until Ctrl-C. */
  async #watch(phase: string, done: (seen: Observation) => boolean): Promise<void> {
    const { signal } = this.#o;
    const lookAround = async (): Promise<void> => {
      let last = "";
      let movedAt = this.#clock.monotonic();
      while (!signal.aborted) {
        const seen = await this.#tryToLook();
        if (seen !== undefined) {
          this.#show(seen, phase);
          if (done(seen)) return;
          this.#killWorker(seen);
        }
        const now = JSON.stringify(seen ?? last);
        if (now !== last) movedAt = this.#clock.monotonic();
        last = now;
        if (this.#clock.monotonic() - movedAt > PATIENCE_MS)
          throw new Error(`nothing has moved for ${PATIENCE_MS / 1000} s while ${phase}`);
        await wait(LOOK_EVERY_MS, signal, this.#clock);
      }
    };
    await Promise.race([lookAround(), this.#stage.fleet.ended]);
  }

  #killWorker({ tables }: Observation): void {
    const next = this.#killAt[this.#kills];
    if (next === undefined || tables.activities < next) return;
    this.#kills += 1;
    this.#progress.note(`kill -9 of the worker, ${tables.activities} webhooks are done`);
    this.#stage.fleet.kill();
  }

  #look(): Promise<Observation> {
    return observe(this.#stage, this.#before);
  }

  /** Undefined while the database cannot be asked: it may come back, and patience has its own limit. */
  async #tryToLook(): Promise<Observation | undefined> {
    try {
      return await this.#look();
    } catch (error) {
      this.#progress.note(`the database cannot be asked: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  #show(seen: Observation, phase: string): void {
    this.#progress.show(toSnapshot(seen, { phase, elapsedMs: this.#elapsedMs, webhooks: this.#deliveries.length, forged: FORGED }));
  }

  get #elapsedMs(): number {
    return this.#clock.monotonic() - this.#startedAt;
  }
}

interface Letter {
  readonly reason: string;
  readonly error: string;
}

/** Dead letters by reason and error, most frequent first. */
function tally(letters: readonly Letter[]): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { reason, error } of letters) {
    const what = `${reason}: ${error}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a);
}

const describe = (letters: readonly Letter[]): string =>
  tally(letters)
    .map(([what, times]) => `${times} × ${what}`)
    .join(", ");
