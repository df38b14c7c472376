import {
  type AbortReason,
  afterMicrotasks,
  continueTrace,
  currentAttempt,
  type Executor,
  type HandlerDescriptor,
  LazyDelivery,
  LeaseLostError,
  MessengerError,
  type Outcome,
  type Received,
  type Serializer,
  systemRuntime,
} from "@symphony/core";
import type { SlotBoard } from "./slot-board.ts";
import type { ThreadOutbox } from "./thread-outbox.ts";
import { type PackedMessage, type PackedMessages, unpack } from "./thread-protocol.ts";

/** Milliseconds that a thread starts handlers before it lets outcomes out and other events in. */
const TURN_MS = 5;

/** Signals that are kept while no message follows them: making one costs as much as handling a small message. */
const KEPT_GROUPS = 16;

/** The messages of one abort signal of the main thread. */
interface Group {
  readonly controller: AbortController;
  followers: number;
}

/** A message in this thread: where the watchdog finds it. */
export class ThreadReceived extends LazyDelivery {
  readonly slot: number;

  constructor({ received, slot }: PackedMessage, serializer: Serializer) {
    super(received.receipt, received.priority, received.body, serializer);
    this.slot = slot;
  }
}

/** The messages of one thread: started in the order in which they came, as fast as they let go of the thread. */
export class ThreadLoop {
  readonly #board: SlotBoard;
  readonly #outbox: ThreadOutbox;
  readonly #executor: Executor;
  readonly #serializer: Serializer;
  /** By slot. A map would keep what it has forgotten: see `Roster` in core. */
  readonly #running: (ThreadReceived | undefined)[] = [];
  /** One controller per abort signal of the main thread; a worker has one for all its messages. */
  readonly #groups = new Map<number, Group>();
  #queue: PackedMessage[] = [];
  #next = 0;
  #draining = false;
  #retired = false;

  constructor(o: { board: SlotBoard; outbox: ThreadOutbox; executor: Executor; serializer: Serializer }) {
    this.#board = o.board;
    this.#outbox = o.outbox;
    this.#executor = o.executor;
    this.#serializer = o.serializer;
  }

  /** Starts nothing more: what waits is taken back by the main thread. */
  retire(): void {
    this.#retired = true;
  }

  run(packed: PackedMessages): void {
    if (this.#retired) return;
    for (const message of unpack(packed)) this.#queue.push(message);
    if (!this.#draining) this.#drain();
  }

  abort(group: number, reason: AbortReason): void {
    const cause = reason === "lease_lost" ? new LeaseLostError("the message") : new MessengerError("INTERRUPTED", "the worker is stopping");
    this.#groups.get(group)?.controller.abort(cause);
    this.#groups.delete(group);
  }

  cancel(slot: number): void {
    const received = this.#running[slot];
    if (received !== undefined) this.#executor.cancel?.(received);
  }

  isRunning(received: Received): boolean {
    const { slot } = received as ThreadReceived;
    return this.#running[slot] === received;
  }

  /** Starts what waits, some at a time, until the turn is over; what comes to its end meanwhile is told in one post. */
  #drain(until = systemRuntime.clock.monotonic() + TURN_MS): void {
    this.#draining = true;
    this.#outbox.hold();
    let started = 0;
    for (let message = this.#queue[this.#next]; message !== undefined && !this.#retired; message = this.#queue[this.#next]) {
      this.#next += 1;
      if (!this.#board.begin(message.slot, message.ticket)) continue;
      this.#start(message);
      started += 1;
      if (systemRuntime.clock.monotonic() >= until) {
        this.#outbox.letGo();
        setImmediate(() => this.#drain());
        return;
      }
      if (started === this.#executor.startTogether) {
        afterMicrotasks(() => this.#drain(until));
        return;
      }
    }
    this.#queue = [];
    this.#next = 0;
    this.#draining = false;
    this.#outbox.letGo();
  }

  #start(message: PackedMessage): void {
    const { slot } = message;
    const before = this.#board.enter(slot);
    const received = new ThreadReceived(message, this.#serializer);
    const group = this.#join(message.group);
    this.#running[slot] = received;
    // An executor reports everything as an outcome; it does not reject.
    const execute = (): Outcome | Promise<Outcome> => this.#executor.execute(received, group.controller.signal);
    const ending = continueTrace(message.trace, received, execute);
    this.#board.leave(before);
    if ("kind" in ending) this.#end(message, group, ending);
    else void ending.then((outcome) => this.#end(message, group, outcome));
  }

  #end({ slot, group: id }: PackedMessage, group: Group, outcome: Outcome): void {
    this.#running[slot] = undefined;
    group.followers -= 1;
    if (group.followers === 0 && this.#groups.size > KEPT_GROUPS) this.#groups.delete(id);
    this.#board.end(slot, outcome.kind !== "handled" ? "ended" : outcome.settled === true ? "settled" : "handled");
    this.#outbox.outcome(slot, outcome);
  }

  #join(id: number): Group {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = { controller: new AbortController(), followers: 0 };
      this.#groups.set(id, group);
    }
    group.followers += 1;
    return group;
  }
}

/** Marks the stretches in which the thread is inside this handler's own code, until its first `await`. */
export function watch(handler: HandlerDescriptor, board: SlotBoard): HandlerDescriptor {
  return {
    ...handler,
    handle: (payload, context) => {
      const received = currentAttempt.getStore()?.received as ThreadReceived | undefined;
      if (received?.slot === undefined) return handler.handle(payload, context);
      const before = board.enter(received.slot);
      try {
        return handler.handle(payload, context);
      } finally {
        board.leave(before);
      }
    },
  };
}
