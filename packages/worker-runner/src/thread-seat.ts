import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker as Thread } from "node:worker_threads";
import {
  type AbortReason,
  type Clock,
  type ErrorRecord,
  LeaseLostError,
  type Outcome,
  type Received,
  type Timer,
  toErrorRecord,
} from "@symphony/core";
import type { Piscina } from "piscina";
import { type Death, judge, type Verdict, type Victim } from "./blame.ts";
import { SlotBoard } from "./slot-board.ts";
import { type DeathNotice, type FromThread, Packer, type ThreadStart, type ToThread } from "./thread-protocol.ts";

/** A message that waits for, or has, a slot in a thread. */
export interface Ticketed {
  readonly received: Received;
  readonly signal: AbortSignal;
  readonly group: number;
  readonly trace: string;
  readonly resolve: (outcome: Outcome) => void;
}

interface Seated {
  readonly entry: Ticketed;
  readonly ticket: number;
  /** Monotonic. */
  readonly postedAt: number;
  /** The beat that was seen last, and when it was first seen: starts the clock of the attempt. */
  beat: number;
  beatAt: number;
  aborted?: AbortReason;
  abortedAt?: number;
}

export interface SeatInput {
  readonly piscina: Piscina;
  readonly start: Omit<ThreadStart, "port" | "board">;
  readonly slots: number;
  readonly clock: Clock;
  /** Milliseconds between the abort of an attempt's signal and the end of its thread. */
  readonly killAfterMs: number;
  /** For an attempt that is stuck before it could tell its own timeout. */
  readonly defaultTimeoutMs: number;
  readonly events: SeatEvents;
}

export interface SeatEvents {
  ready(seat: ThreadSeat): void;
  /** A slot has become free. */
  freed(seat: ThreadSeat): void;
  message(seat: ThreadSeat, message: FromThread): void;
  /** These had not been started: they may go to another thread. */
  orphaned(entries: readonly Ticketed[]): void;
  suspect(entry: Ticketed): void;
  /** The thread was ended long ago and still runs. */
  stuck(): void;
  /** The thread is gone and everything in it has an outcome. `error`: why it went, absent when it was told to. */
  gone(seat: ThreadSeat, error: ErrorRecord | undefined, notice: DeathNotice | undefined): void;
}

/** Milliseconds to wait for a thread that was ended; native code can hold it longer than we can hold its messages. */
const EXIT_WAIT_MS = 200;
/** Milliseconds after which a thread that still runs will not end any more. */
const STUCK_MS = 5_000;
const MAX_TICKET = 2 ** 31 - 1;

/** One thread from its start to its end, seen from the main thread: its slots, its port, its clock. */
export class ThreadSeat {
  state: "starting" | "ready" | "ending" | "gone" = "starting";
  /** Resolves when the thread has gone and all its messages have an outcome. */
  readonly whenGone: Promise<void>;
  readonly #goneNow: () => void;
  readonly #o: SeatInput;
  readonly #board: SlotBoard;
  readonly #port: MessagePort;
  readonly #task = new AbortController();
  readonly #seated: (Seated | undefined)[];
  readonly #free: number[];
  #thread: Thread | undefined;
  readonly #packer = new Packer();
  #lastTicket = 0;
  #pings = 0;
  #pingedAt = Number.NEGATIVE_INFINITY;
  #notice: DeathNotice | undefined;
  #exitTimer: Timer | undefined;

  constructor(input: SeatInput) {
    this.#o = input;
    ({ promise: this.whenGone, resolve: this.#goneNow } = Promise.withResolvers<void>());
    this.#board = SlotBoard.create(input.slots);
    this.#seated = new Array(input.slots).fill(undefined);
    this.#free = Array.from({ length: input.slots }, (_, i) => input.slots - 1 - i);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#port.on("message", (message: FromThread) => this.#receive(message));
    const start: ThreadStart = { ...input.start, port: port2, board: this.#board.buffer };
    input.piscina.run(start, { transferList: [port2], signal: this.#task.signal }).then(
      () => this.#bury(undefined),
      (error: unknown) => this.#ended(error),
    );
  }

  get inFlight(): number {
    return this.#seated.length - this.#free.length;
  }

  get hasRoom(): boolean {
    return this.state === "ready" && this.#free.length > 0;
  }

  /** Takes a message; it is posted at the end of the turn together with the others of this turn. */
  post(entry: Ticketed): void {
    const slot = this.#free.pop();
    if (slot === undefined) throw new RangeError("the thread has no free slot");
    this.#lastTicket = this.#lastTicket === MAX_TICKET ? 1 : this.#lastTicket + 1;
    const now = this.#o.clock.monotonic();
    this.#seated[slot] = { entry, ticket: this.#lastTicket, postedAt: now, beat: 0, beatAt: now };
    this.#board.queue(slot, this.#lastTicket);
    if (this.#packer.isEmpty) process.nextTick(() => this.flush());
    this.#packer.add({ slot, ticket: this.#lastTicket, group: entry.group, received: entry.received, trace: entry.trace });
  }

  /** Takes back up to `max` messages that wait here unstarted for `minAgeMs` or longer. */
  takeBack(max: number, minAgeMs: number, which: (entry: Ticketed) => boolean = () => true): Ticketed[] {
    const taken: Ticketed[] = [];
    const postedBefore = this.#o.clock.monotonic() - minAgeMs;
    for (const [slot, seated] of this.#seated.entries()) {
      if (taken.length >= max) break;
      if (seated === undefined || seated.postedAt > postedBefore || !which(seated.entry)) continue;
      if (!this.#board.takeBack(slot, seated.ticket)) continue;
      this.#leave(slot);
      taken.push(seated.entry);
    }
    return taken;
  }

  /** Passes an aborted signal on. What has not started ends here and now. */
  abort(signal: AbortSignal): void {
    const reason = interruption(signal);
    for (const entry of this.takeBack(this.#seated.length, 0, (one) => one.signal === signal))
      entry.resolve({ kind: "interrupted", reason });
    const now = this.#o.clock.monotonic();
    const groups = new Set<number>();
    for (const seated of this.#seated) {
      if (seated?.entry.signal !== signal || seated.aborted !== undefined) continue;
      seated.aborted = reason;
      seated.abortedAt = now;
      groups.add(seated.entry.group);
    }
    for (const group of groups) this.#post({ kind: "abort", group, reason });
  }

  /** Ends one attempt; what has not started ends here and now. False: it is not in this thread. */
  cancel(received: Received): boolean {
    const reason = "cancelled";
    const [unstarted] = this.takeBack(1, 0, (one) => one.received === received);
    unstarted?.resolve({ kind: "interrupted", reason });
    if (unstarted !== undefined) return true;
    const slot = this.#seated.findIndex((seated) => seated?.entry.received === received);
    const seated = this.#seated[slot];
    if (seated === undefined) return false;
    if (seated.aborted !== undefined) return true;
    seated.aborted = reason;
    seated.abortedAt = this.#o.clock.monotonic();
    // A slot has another message only after its outcome has come here: this cannot meet the wrong one.
    this.#post({ kind: "cancel", slot });
    return true;
  }

  send(message: ToThread): void {
    if (this.state === "ready") this.#post(message);
  }

  /** Looks after the attempts of this thread, some twenty times a second while there are any. */
  watch(now: number): void {
    if (this.state !== "ready") return;
    let overdue = false;
    let oldestExpiry = Number.POSITIVE_INFINITY;
    for (const [slot, seated] of this.#seated.entries()) {
      if (seated === undefined || this.#board.phaseOf(slot) !== "running") continue;
      const beat = this.#board.beatOf(slot);
      if (beat !== seated.beat) {
        seated.beat = beat;
        seated.beatAt = now;
      }
      const expiresAt = Math.min(seated.beatAt + this.#timeoutOf(slot), seated.abortedAt ?? Number.POSITIVE_INFINITY);
      if (expiresAt > now) continue;
      oldestExpiry = Math.min(oldestExpiry, expiresAt);
      overdue ||= now - expiresAt >= this.#o.killAfterMs;
    }
    if (oldestExpiry === Number.POSITIVE_INFINITY) return;
    // Whether the thread's event loop still turns decides who is to blame. Asked after the expiry, and a look before the
    // end: after a stall of this thread both would come at once, and the answer would be missing.
    if (this.#pingedAt < oldestExpiry) this.#ping(now);
    else if (overdue) this.end();
  }

  /** Ends the thread, whatever it is doing; its messages get their outcomes within moments. `error`: why, if it is not one of them. */
  end(error?: ErrorRecord): void {
    if (this.state === "ending" || this.state === "gone") return;
    const responsive = this.#pings > 0 && this.#board.answered === this.#pings;
    const entering = this.#board.entering;
    const orphans = this.takeBack(this.#seated.length, 0);
    const death: Death = { kind: "ended", responsive, ...(entering === undefined ? {} : { entering }) };
    const verdicts = judge(this.#victims(), death);
    this.state = "ending";
    const thread = this.#thread;
    const finish = (): void => this.#bury(error, verdicts);
    this.#exitTimer = this.#o.clock.schedule(EXIT_WAIT_MS, finish);
    if (thread === undefined) process.nextTick(finish);
    else this.#awaitExit(thread, finish);
    this.#task.abort();
    this.#o.events.orphaned(orphans);
  }

  #awaitExit(thread: Thread, finish: () => void): void {
    const stuck = this.#o.clock.schedule(STUCK_MS, () => this.#o.events.stuck(), { unref: true });
    thread.once("exit", () => {
      stuck.cancel();
      finish();
    });
  }

  /** Ends the thread because nobody wants its messages any more. */
  shutDown(): void {
    for (const seated of this.#seated) if (seated !== undefined) seated.aborted ??= "shutdown";
    if (this.inFlight > 0 || this.state === "starting") this.end();
    else this.stop(false);
  }

  /** Tells the thread to close what it has open. `exit`: it also ends. Only for a thread without messages. */
  stop(exit: boolean): void {
    if (this.state !== "ready") return;
    this.#post({ kind: "stop", exit });
    this.state = "ending";
  }

  #receive(message: FromThread): void {
    if (this.state === "gone") return;
    if (message.ready !== undefined && this.state === "starting") {
      const { threadId } = message.ready;
      this.#thread = this.#o.piscina.threads.find((thread) => thread.threadId === threadId);
      this.state = "ready";
      this.#o.events.ready(this);
    }
    if (message.death !== undefined) this.#notice = message.death;
    if (message.unfit !== undefined) {
      this.end(message.unfit);
      return;
    }
    this.#o.events.message(this, message);
    const { handled, outcomes } = message;
    if (handled === undefined && outcomes === undefined) return;
    for (const slot of handled ?? []) this.#settle(slot, HANDLED);
    for (const [slot, outcome] of outcomes ?? []) this.#settle(slot, outcome);
    if (this.state === "ready") this.#o.events.freed(this);
  }

  #settle(slot: number, outcome: Outcome): void {
    const seated = this.#seated[slot];
    if (seated === undefined) return;
    this.#leave(slot);
    seated.entry.resolve(outcome);
  }

  #leave(slot: number): void {
    this.#seated[slot] = undefined;
    this.#free.push(slot);
    this.#board.free(slot);
  }

  /** Posts what it has taken. */
  flush(): void {
    if (this.#packer.isEmpty) return;
    const packed = this.#packer.take();
    // A thread that is going cannot start them: the end of the seat takes care of them.
    if (this.state === "ready") this.#post({ kind: "run", packed });
  }

  #post(message: ToThread): void {
    this.#port.postMessage(message);
  }

  #ping(now: number): void {
    this.#pingedAt = now;
    this.#pings += 1;
    this.#post({ kind: "ping", ping: this.#pings });
  }

  /** The piscina task failed: we ended the thread, or it died. */
  #ended(error: unknown): void {
    // Waiting for the exit of a thread that we ended.
    if (this.#exitTimer !== undefined) return;
    this.#drain();
    const orphans = this.takeBack(this.#seated.length, 0);
    const record = this.#notice?.error ?? toErrorRecord(error);
    const notice = this.#notice;
    const accused = notice === undefined || notice.messageId === undefined ? undefined : (notice.slot ?? null);
    const death: Death = { kind: "died", error: record, ...(accused === undefined ? {} : { accused }) };
    const wanted = this.state === "ending";
    this.#bury(wanted ? undefined : record, judge(this.#victims(), death));
    this.#o.events.orphaned(orphans);
  }

  /** What the thread posted before it went. */
  #drain(): void {
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port))
      this.#receive(next.message as FromThread);
  }

  #bury(error: ErrorRecord | undefined, verdicts: readonly Verdict[] = []): void {
    if (this.state === "gone") return;
    this.#exitTimer?.cancel();
    this.#drain();
    this.state = "gone";
    this.#port.close();
    for (const { slot, outcome, suspect } of verdicts) {
      const seated = this.#seated[slot];
      if (seated === undefined) continue;
      this.#seated[slot] = undefined;
      if (suspect) this.#o.events.suspect(seated.entry);
      seated.entry.resolve(outcome);
    }
    for (const seated of this.#seated) seated?.entry.resolve({ kind: "interrupted", reason: "neighbour" });
    this.#seated.fill(undefined);
    this.#o.events.gone(this, error, this.#notice);
    this.#goneNow();
  }

  #victims(): Victim[] {
    const now = this.#o.clock.monotonic();
    const victims: Victim[] = [];
    for (const [slot, seated] of this.#seated.entries()) {
      if (seated === undefined) continue;
      const timeoutMs = this.#timeoutOf(slot);
      victims.push({
        slot,
        phase: this.#board.phaseOf(slot),
        expired: seated.beat !== 0 && now - seated.beatAt >= timeoutMs,
        timeoutMs,
        ...(seated.aborted === undefined ? {} : { aborted: seated.aborted }),
      });
    }
    return victims;
  }

  #timeoutOf(slot: number): number {
    const timeoutMs = this.#board.timeoutOf(slot);
    return timeoutMs === 0 ? this.#o.defaultTimeoutMs : timeoutMs;
  }
}

const HANDLED: Outcome = Object.freeze({ kind: "handled" });

export const interruption = (signal: AbortSignal): "shutdown" | "lease_lost" =>
  signal.reason instanceof LeaseLostError ? "lease_lost" : "shutdown";
