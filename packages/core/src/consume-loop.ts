import { CancelWatch } from "./cancel-watch.ts";
import type { Clock } from "./clock.ts";
import { acknowledged, type Decision, decide, type StrategyLookup, toDecisionInput } from "./decide.ts";
import { LeaseLostError, type MessengerError } from "./errors.ts";
import type { StopReason } from "./events.ts";
import { type Executor, failedBy, type Outcome } from "./execute.ts";
import { Hunger } from "./hunger.ts";
import type { LimitWatch } from "./limits.ts";
import { Linger } from "./linger.ts";
import type { Cancellable } from "./message-control.ts";
import { Prefetch } from "./prefetch.ts";
import { QueueOrder } from "./queue-order.ts";
import { type ReceiveKind, receive } from "./receive.ts";
import { RejectionWriter } from "./rejection-writer.ts";
import { Roster } from "./roster.ts";
import { Settler } from "./settle.ts";
import { StorePause } from "./store-pause.ts";
import { isSuspect } from "./suspects.ts";
import { OPERATIONS } from "./telemetry/names.ts";
import type { ProcessSpan } from "./telemetry/process-span.ts";
import { Tracing } from "./telemetry/tracing.ts";
import type { Received } from "./transport.ts";
import { type Begun, type Waiting, WaitingList } from "./waiting-list.ts";
import type { ParsedWorkerOptions } from "./worker-options.ts";
import type { WorkerReport } from "./worker-report.ts";
import { afterMicrotasks, Batch, Gate, START_TOGETHER, WakeUps } from "./worker-state.ts";

export interface ConsumeLoopInput {
  readonly options: ParsedWorkerOptions;
  readonly executor: Executor;
  readonly strategyFor: StrategyLookup;
  readonly limits: LimitWatch;
  readonly report: WorkerReport;
  readonly workerId: string;
  /** Called once when the loop finds that it should end. */
  readonly onFinished: (reason: StopReason) => void;
}

/**
 * The way of a message through a worker: receive → execute → decide → settle.
 *
 * A receive starts before the messages of the last one are done, so that the database and the handlers work at the same
 * time; there are two of them only while the handlers have nothing to do meanwhile. Held at any moment: the messages in the
 * slots, and the buffer, which is what one receive's time consumes.
 */
export class ConsumeLoop {
  readonly settler: Settler;
  readonly #o: ParsedWorkerOptions;
  readonly #clock: Clock;
  readonly #executor: Executor;
  readonly #report: WorkerReport;
  readonly #tracing = Tracing.find();
  readonly #input: ConsumeLoopInput;
  readonly #slots: number;
  readonly #prefetch: Prefetch;
  readonly #order: QueueOrder;
  readonly #inFlight = new Roster<Begun>();
  /** Opened by whatever the loop may be waiting for. */
  readonly #gate = new Gate();
  readonly #rejections: RejectionWriter;
  readonly #waiting = new WaitingList();
  #cancelWatch: CancelWatch | undefined;
  #abort = new AbortController();
  #workerId: string;
  #running = true;
  #paused = false;
  readonly #wakeUps = new WakeUps();
  #starting = false;
  readonly #startMore = (): void => {
    this.#starting = false;
    this.#fillSlots();
  };
  readonly #hunger: Hunger;
  readonly #linger: Linger;
  readonly #storePause: StorePause;
  /** Messages that receives under way may bring. */
  #asked = 0;
  #beside: Promise<void> | undefined;

  constructor(input: ConsumeLoopInput) {
    this.#o = input.options;
    this.#clock = input.options.runtime.clock;
    this.#executor = input.executor;
    this.#report = input.report;
    this.#workerId = input.workerId;
    this.#input = input;
    this.#slots = Math.min(this.#o.maxConcurrency, this.#executor.size);
    this.#order = new QueueOrder(this.#o.queues, this.#o.runtime.random);
    this.#prefetch = new Prefetch(this.#o.prefetch, this.#o.batchSize);
    this.#linger = new Linger({ clock: this.#clock, gate: this.#gate, prefetch: this.#prefetch, batchSize: this.#o.batchSize });
    this.#hunger = new Hunger(this.#prefetch, this.#o.batchSize);
    this.settler = new Settler({
      receiver: this.#o.transport,
      logger: this.#o.logger,
      onLost: (receipt) => this.#report.leaseLost(receipt),
      onRetried: (receipt, delayMs) => this.#report.emit("message_retried", { receipt, delayMs }),
      onWritten: (durationMs, error) => this.#report.metrics.operation(OPERATIONS.settle, durationMs, { error }),
      clock: this.#clock,
    });
    const { runtime } = input.options;
    const onError = (error: unknown): void => this.#report.error(error);
    this.#storePause = new StorePause({ runtime, onError, gate: this.#gate, isRunning: () => this.#running });
    this.#rejections = new RejectionWriter({ runtime, onError, settler: this.settler, onDue: () => this.#gate.open() });
  }

  /** Messages whose handlers run. */
  get processing(): number {
    return this.#inFlight.size;
  }

  /** Messages received and not decided. */
  get held(): number {
    return this.#inFlight.size + this.#waiting.length;
  }

  /** Receives whenever there is room, settles on the way, and waits when there is nothing to do. Ends with `end()`. */
  async run(): Promise<void> {
    try {
      while (this.#running) await this.#turn().catch((error: unknown) => this.#storePause.after(error));
    } finally {
      this.#hunger.forget();
      this.#linger.end();
      await this.#beside;
    }
  }

  async #turn(): Promise<void> {
    this.#gate.close();
    const room = this.#room();
    const doing = { room, waiting: this.#waiting.length, held: this.held, isWoken: this.#wakeUps.any };
    if (room > 0 && this.#linger.isOver(doing)) await this.#receiveSome();
    else if (room > 0) await this.#linger.wait();
    else if (this.settler.waiting > 0) await Promise.all([this.settler.flushAcknowledgements(), this.#rejections.write()]);
    else await this.#gate.wait();
    if (this.#storePause.over()) this.settler.takeUpFailed();
  }

  /** The store is known to answer: a pause after errors of it need not be waited out. */
  tryAgain(): void {
    this.#storePause.cutShort();
  }

  end(): void {
    this.#running = false;
    this.#rejections.end();
    this.#gate.open();
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    this.#gate.open();
  }

  /** The transport says that there is something to receive, in these queues; empty: it does not say where. */
  wake(queues: readonly string[]): void {
    this.#wakeUps.add(queues);
    this.#gate.open();
  }

  /** Resolves when a message was decided, the loop was ended or woken. */
  changed(): Promise<void> {
    this.#gate.close();
    return this.#gate.wait();
  }

  /** Aborts the signal of every handler that runs. */
  abort(reason: MessengerError): void {
    this.#abort.abort(reason);
    this.#abort = new AbortController();
  }

  /** Everything held belongs to others now: aborts the handlers, forgets their outcomes, goes on under a new id. */
  loseLease(newWorkerId: string): void {
    this.abort(new LeaseLostError("all messages of this worker"));
    for (const { receipt } of this.#waiting.all()) this.#report.leaseLost(receipt);
    for (const { received } of this.#inFlight.all()) this.#report.leaseLost(received.receipt);
    this.#waiting.clear();
    this.#inFlight.clear();
    this.settler.discard();
    this.#workerId = newWorkerId;
    this.#gate.open();
  }

  /** Ends what was cancelled while it was held here, each time that the returned function is called. */
  followCancellations(source: Cancellable): () => void {
    const watch = new CancelWatch({
      source,
      executor: this.#executor,
      logger: this.#o.logger,
      held: () => [...this.#inFlight.all().map(({ received }) => received), ...this.#waiting.all()],
      drop: (received) => this.#drop(received),
    });
    this.#cancelWatch = watch;
    return () => watch.look();
  }

  /** Decides to release what was received and not started, uncounted. */
  releaseBuffer(): void {
    for (const { receipt } of this.#waiting.all()) this.settler.add(receipt, { kind: "release", delayMs: 0, patch: {} });
    this.#waiting.clear();
  }

  /** Decides to release what still runs; its outcome will not count. */
  abandonInFlight(): void {
    for (const { received } of this.#inFlight.all()) {
      if (this.#cancelWatch?.has(received) === true) continue;
      this.settler.add(received.receipt, this.#decide(received, { kind: "interrupted", reason: "shutdown" }));
    }
    this.#inFlight.clear();
  }

  #drop(received: Received): boolean {
    const dropped = this.#waiting.remove(received);
    if (dropped === undefined) return false;
    this.#leaveBatch(dropped.batch, false);
    this.#gate.open();
    return true;
  }

  #leaveBatch(batch: Batch, failed: boolean): void {
    if (batch.done(failed)) this.#report.emit("batch_complete", batch.summary(this.#clock.monotonic()));
  }

  #room(): number {
    if (this.#paused || !this.#running) return 0;
    const claimed = this.held + this.#asked;
    const most = this.#slots + this.#prefetch.size + (this.#hunger.isHungry ? this.#o.batchSize : 0);
    return Math.min(most - claimed, this.#o.batchSize, this.#input.limits.allowance(this.#report.counters.processed + claimed));
  }

  async #receiveSome(): Promise<void> {
    this.#linger.end();
    await this.#rejections.write();
    // It may have been told to end or to pause meanwhile, or another receive has taken the room.
    const room = this.#room();
    if (room <= 0) return;
    const notified = this.#wakeUps.take();
    const receiving = this.#receive(room, { notified });
    if (this.#hunger.isHungry)
      this.#beside ??= this.#receiveBeside().finally(() => {
        this.#beside = undefined;
        this.#gate.open();
      });
    if ((await receiving) === 0) await this.#rest();
  }

  /** A second receive beside the first, as long as the handlers wait for more. Never rejects. */
  async #receiveBeside(): Promise<void> {
    try {
      for (let room = this.#room(); room > 0 && this.#hunger.isHungry; room = this.#room()) {
        await this.#receive(room, { isBeside: true });
        this.#gate.open();
      }
    } catch (error) {
      this.#hunger.forget();
      this.#report.error(error);
    }
  }

  /** Resolves with how many came. */
  async #receive(room: number, { notified = [], isBeside = false }: ReceiveKind): Promise<number> {
    const wasIdle = this.held + this.#asked === 0;
    this.#asked += room;
    const call = { room, workerId: this.#workerId, queues: this.#order.next(), only: this.#order.only, notified, isBeside };
    const receiving = receive(this.#o, this.settler, this.#report.metrics, call).finally(() => (this.#asked -= room));
    const { messages, isBusy, startedAt, endedAt: now, count } = await receiving;
    if (isBusy) this.#hunger.refused();
    const [held, finished, got] = [this.held, this.#report.counters.processed, messages.length];
    if (isBusy && isBeside && got === 0) return 0;
    this.#tracing?.received(messages, startedAt, now);
    this.#report.emit("running", { isIdle: got === 0 });
    if (got > 0) {
      this.#accept(messages, got === room);
      // What is only counted comes after the start of the handlers.
      count();
    }
    this.#report.counters.polled();
    this.#prefetch.observe({ atMs: now, receiveMs: now - startedAt, finished, wasIdle });
    this.#hunger.observe({ asked: room, got, held });
    if (got === room) this.#o.fleet.onFull?.();
    else if (wasIdle && notified.length > 0 && got > 0 && this.#beside === undefined) this.#linger.calm(got);
    return got;
  }

  #accept(messages: readonly Received[], full: boolean): void {
    const batch = new Batch(messages.length, this.#clock.monotonic());
    this.#report.counters.batches += 1;
    this.#report.emit("batch_start", { size: messages.length });
    for (const received of messages) this.#waiting.add({ received, batch });
    this.#cancelWatch?.received();
    // There is more: the next receive goes out first, and the handlers run while the database works on it.
    if (full) return void setImmediate(() => this.#fillSlots());
    this.#fillSlots();
    // Somebody may wait for these, and before this turn ends the next receive may go out too.
    this.#executor.flush?.();
  }

  /** Nothing was waiting: until a wake-up, something to settle, or the poll interval. */
  async #rest(): Promise<void> {
    if (this.#o.stopWhenEmpty && this.held + this.#asked === 0 && this.settler.pending === this.settler.failed)
      return this.#input.onFinished("manual");
    if (this.#wakeUps.any || this.settler.waiting > 0) return;
    const timer = this.#clock.schedule(this.#o.pollInterval, () => this.#gate.open());
    await this.#gate.wait();
    timer.cancel();
  }

  #fillSlots(): void {
    if (this.#starting) return;
    // Also for what ends at once: its slot is given to the next one here, and not from within.
    this.#starting = true;
    let [goesOn, ended] = [false, 0];
    const suspects: Received[] = [];
    for (let started = 0; this.#running && this.#waiting.length > 0 && this.#inFlight.size < this.#slots; started++) {
      goesOn = started === this.#executor.startTogether || ended === START_TOGETHER;
      if (goesOn) break;
      const { received, batch } = this.#waiting.take() as Waiting;
      if (this.#o.fleet.isolate !== undefined && isSuspect(received)) {
        suspects.push(received);
        this.#leaveBatch(batch, false);
      } else if (this.#begin(received, batch)) ended += 1;
    }
    this.#starting = goesOn;
    if (goesOn) afterMicrotasks(this.#startMore);
    // There may be room now, or less to wait for, and nothing else that would say so.
    else this.#gate.open();
    if (suspects.length > 0) this.#o.fleet.isolate?.(suspects);
  }

  /** The way of one message begins. True: it has ended as well. Never throws. */
  #begin(received: Received, batch: Batch): boolean {
    const begun: Begun = { received, batch, startedAt: this.#clock.monotonic(), span: undefined, place: -1 };
    try {
      this.#inFlight.add(begun);
      if (this.#report.isHeard("message_received")) this.#report.emit("message_received", { received });
      begun.span = this.#tracing?.process(received);
      const ending = this.#execute(begun);
      if ("then" in ending) {
        // Two callbacks, and no asynchronous function: its frame would be among the largest things that a message leaves behind.
        ending.then(
          (outcome) => this.#finish(begun, outcome),
          (error: unknown) => this.#finish(begun, failedBy(error)),
        );
        return false;
      }
      this.#finish(begun, ending);
    } catch (error) {
      // As behind a promise: nobody knows what has become of the message, and the process ends for it to come back.
      void Promise.reject(error);
    }
    return true;
  }

  /** … and ends. */
  #finish(begun: Begun, outcome: Outcome): void {
    const { received, batch, startedAt, span } = begun;
    // Not here any more: the lease was lost or the shutdown handed it back, and the outcome does not count.
    if (!this.#inFlight.delete(begun)) {
      span?.end(outcome, undefined);
      return;
    }
    if (this.#cancelWatch?.has(received) === true) {
      span?.end(outcome, undefined);
      this.#leaveBatch(batch, false);
    } else {
      const decision = this.#decide(received, outcome, span);
      span?.end(outcome, decision);
      this.settler.add(received.receipt, decision, span);
      const durationMs = this.#clock.monotonic() - startedAt;
      this.#report.decided(received, outcome, decision, { durationMs, span });
      this.#leaveBatch(batch, decision.kind === "retry" || decision.kind === "deadLetter");
    }
    const reached = this.#input.limits.reached(this.#report.counters.processed, this.#report.counters.failed);
    if (reached !== undefined) this.#input.onFinished(reached);
    if (outcome.kind === "failed" && outcome.failure.stopsWorker === true) this.#input.onFinished("error");
    this.#fillSlots();
    this.#gate.open();
  }

  #execute({ received, span }: Begun): Outcome | Promise<Outcome> {
    const execute = () => this.#executor.execute(received, this.#abort.signal);
    try {
      return span === undefined ? execute() : span.run(execute);
    } catch (error) {
      return failedBy(error);
    }
  }

  #decide(received: Received, outcome: Outcome, span?: ProcessSpan): Decision {
    if (outcome.kind === "handled") return acknowledged(outcome);
    const { strategyFor } = this.#input;
    const { random } = this.#o.runtime;
    const rest = { strategyFor, workerId: this.#workerId, now: this.#clock.now(), random, trace: span?.traceparent };
    return decide(outcome, toDecisionInput(received, rest));
  }
}
