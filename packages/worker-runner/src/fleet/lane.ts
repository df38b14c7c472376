import {
  decide,
  isSupervisable,
  MessageMetrics,
  type Messenger,
  MessengerError,
  type Outcome,
  type Received,
  Settler,
  type StopReason,
  type StrategyLookup,
  type Supervisable,
  type Transport,
  toDecisionInput,
  toErrorRecord,
} from "@symphony/core";
import type { WorkerProcess } from "../worker-process.ts";
import type { FromChild, SuspectHeld } from "./ipc.ts";

export interface LaneOptions {
  readonly process: WorkerProcess;
  readonly messenger: Messenger;
  /** Messages that may run together, when nothing points at one of them yet. */
  readonly slots: number;
  /** Resolves when the supervisor can read it. */
  readonly say: (message: FromChild) => Promise<void>;
}

/** Milliseconds until the database is asked again for what it did not answer. */
const AGAIN_MS = 500;

/**
 * The isolation lane, inside its process. Suspects of one crash run in groups: most are innocent, and a group that comes
 * through is cleared at once. What was in a group that died, or has killed before, runs alone. Before each step it says
 * what it is about to run, so that the supervisor knows whom to suspect or to charge when the process dies.
 */
export class Lane {
  processed = 0;
  failed = 0;
  readonly #o: LaneOptions;
  readonly #metrics: MessageMetrics;
  readonly #ended = Promise.withResolvers<StopReason>();
  #abort = new AbortController();
  #waiting: SuspectHeld[] = [];
  #working = false;
  #reason: StopReason | undefined;

  constructor(options: LaneOptions) {
    this.#o = options;
    this.#metrics = new MessageMetrics(options.messenger.meter);
  }

  get held(): number {
    return this.#waiting.length + (this.#working ? 1 : 0);
  }

  /** Resolves when it was stopped and nothing runs any more. */
  run(): Promise<StopReason> {
    return this.#ended.promise;
  }

  adopt(suspects: readonly SuspectHeld[]): void {
    this.#waiting.push(...suspects);
    if (!this.#working) void this.#work();
  }

  stop(reason: StopReason, deadlineMs: number): void {
    this.#reason ??= reason;
    this.#waiting = [];
    if (!this.#working) this.#ended.resolve(this.#reason);
    else {
      const abort = (): void => this.#abort.abort(new MessengerError("INTERRUPTED", "the worker is stopping"));
      this.#o.messenger.runtime.clock.schedule(deadlineMs, abort, { unref: true });
    }
  }

  loseLease(): void {
    this.#waiting = [];
    this.#abort.abort(new MessengerError("LEASE_LOST", "another worker has taken the message over"));
    this.#abort = new AbortController();
  }

  async #work(): Promise<void> {
    this.#working = true;
    for (let group = this.#next(); group.length > 0; group = this.#next()) await this.#runGroup(group);
    this.#working = false;
    if (this.#reason === undefined) void this.#o.say({ kind: "laneEmpty" });
    else this.#ended.resolve(this.#reason);
  }

  /** The next one alone, or as many of one transport as may run together. */
  #next(): readonly SuspectHeld[] {
    const [first] = this.#waiting;
    if (first === undefined) return [];
    const fits = first.alone
      ? [first]
      : this.#waiting.filter((held) => !held.alone && held.transport === first.transport).slice(0, this.#o.slots);
    this.#waiting = this.#waiting.filter((held) => !fits.includes(held));
    return fits;
  }

  /** Never rejects. */
  async #runGroup(group: readonly SuspectHeld[]): Promise<void> {
    const { messenger, process: owner } = this.#o;
    const name = group[0]?.transport ?? "";
    const transport = messenger.transport(name);
    const worker = owner.workers[name];
    if (!isSupervisable(transport) || worker === undefined) return;
    const receipts = group.map(({ receipt }) => receipt);
    // Those that are missing belong to somebody else: their holder lost the lease before we took over.
    const adopted = await this.#insist("suspects could not be taken over", () => transport.adopt(receipts, worker.workerId));
    if (adopted === undefined || adopted.length === 0) return;
    // Waited for: a word that is still in this process when it dies would blame nobody.
    await this.#o.say({ kind: "running", held: adopted.map(({ receipt }) => ({ transport: name, receipt })) });
    await Promise.all(adopted.map((received) => this.#runOne(name, transport, received, worker.workerId)));
  }

  async #runOne(name: string, transport: Transport & Supervisable, received: Received, workerId: string): Promise<void> {
    const { messenger, process: owner } = this.#o;
    const { clock, random } = messenger.runtime;
    const { signal } = this.#abort;
    this.#metrics.consumed([received]);
    const startedAt = clock.monotonic();
    const span = messenger.tracing?.process(received);
    const execute = (): Outcome | Promise<Outcome> => owner.execute(name, received, signal);
    const outcome = await (span === undefined ? execute() : span.run(execute));
    if (signal.aborted && signal.reason instanceof MessengerError && signal.reason.code === "LEASE_LOST")
      return span?.end(outcome, undefined);
    const strategyFor: StrategyLookup = (type, queue, olderNames) => messenger.retryStrategy(type, name, queue, olderNames);
    const settler = new Settler({
      receiver: transport,
      logger: messenger.logger,
      onLost: (receipt) => this.#metrics.leaseLost(receipt.queue),
      clock,
    });
    const decision = decide(
      outcome,
      toDecisionInput(received, { strategyFor, workerId, now: clock.now(), random, trace: span?.traceparent }),
    );
    span?.end(outcome, decision);
    settler.add(received.receipt, decision, span);
    this.#metrics.decided(received, outcome, decision, clock.monotonic() - startedAt);
    if (decision.kind !== "release") this.processed += 1;
    if (decision.kind === "retry" || decision.kind === "deadLetter") this.failed += 1;
    await this.#insist("a settlement could not be written", () => settler.flush());
  }

  /** Asks again until it is answered, until the lease is lost, or once more when it is stopped; undefined: it was not. */
  async #insist<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
    const { messenger } = this.#o;
    const { signal } = this.#abort;
    for (let said = false; ; said = true) {
      try {
        return await ask();
      } catch (error) {
        if (!said) messenger.logger.warn({ err: toErrorRecord(error) }, `${what}: trying again`);
        if (signal.aborted || this.#reason !== undefined) return undefined;
        await new Promise<void>((resolve) => messenger.runtime.clock.schedule(AGAIN_MS, resolve));
      }
    }
  }
}
