import type { Clock } from "../../clock.ts";
import { type CarryHome, parseForeignQueue } from "../../failure-transport/forwarding.ts";
import type { Pause, PauseTarget } from "../../queue-control.ts";
import type { QueueCounts, Receipt } from "../../transport.ts";
import { MemoryAudit } from "./audit.ts";
import { Cancellations } from "./cancellations.ts";
import { DeadLetters, type StoredDeadLetter } from "./dead-letters.ts";
import { Queue, WHOLE } from "./queue.ts";
import { MemoryRedrives } from "./redrives.ts";
import { MemoryRequests } from "./requests.ts";
import { MemorySchedules } from "./schedules.ts";
import type { StoredMessage } from "./stored-message.ts";
import { Workers } from "./workers.ts";

export type Added =
  | { readonly kind: "accepted" | "duplicate"; readonly id: string }
  | { readonly kind: "conflict" }
  | { readonly kind: "no_queue" };

/** What a memory transport stores; transports of one name share it. Every method is one atomic step: none of them waits. */
export class MemoryStore {
  readonly deadLetters = new DeadLetters();
  readonly workers: Workers;
  readonly audit: MemoryAudit;
  readonly cancellations = new Cancellations();
  /** Messages that were handled, for as long as their idempotency keys are known. */
  readonly handled = new Map<string, { readonly message: StoredMessage; readonly at: number }>();
  readonly schedules: MemorySchedules;
  readonly redrives: MemoryRedrives;
  readonly requests: MemoryRequests;
  carryHome: CarryHome | undefined;
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #queues = new Map<string, Queue>();
  readonly #listeners = new Set<(queues: readonly string[]) => void>();
  readonly #expiring: { readonly queue: Queue; readonly key: string; readonly id: string; readonly atMs: number }[] = [];
  #expired = 0;
  /** Whether a queue is made by its first message, because nobody said which ones there are. */
  #open = true;
  #age = 0;
  #fence = 0;

  constructor(clock: Clock, windowMs: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.workers = new Workers(clock);
    this.audit = new MemoryAudit(clock);
    this.schedules = new MemorySchedules(clock);
    this.redrives = new MemoryRedrives(this, clock);
    this.requests = new MemoryRequests(clock);
  }

  declare(queues: readonly string[]): void {
    this.#open = false;
    for (const name of queues) this.#make(name);
  }

  add(message: Omit<StoredMessage, "age" | "lease">, digest: string | undefined): Added {
    const queue = this.#queues.get(message.queue) ?? (this.#open ? this.#make(message.queue) : undefined);
    if (queue === undefined) return { kind: "no_queue" };
    if (message.key !== undefined && digest !== undefined) {
      this.#forgetKeys();
      const known = queue.keys.get(message.key);
      if (known !== undefined) return known.digest === digest ? { kind: "duplicate", id: known.id } : { kind: "conflict" };
    }
    // The same message sent again, after an answer that got lost.
    if (queue.live.has(message.id) || this.deadLetters.has(message.queue, message.id)) return { kind: "duplicate", id: message.id };
    const unfinished = message.deduplicate === undefined ? undefined : queue.unfinished.get(message.deduplicate);
    if (unfinished !== undefined) return { kind: "duplicate", id: unfinished };
    if (message.key !== undefined && digest !== undefined) queue.keys.set(message.key, { id: message.id, digest });
    this.#age += 1;
    this.#enqueue(queue, { ...message, age: this.#age, lease: undefined });
    return { kind: "accepted", id: message.id };
  }

  /** Leases the next message of the queues: the first queue that has one, or the most urgent of all queues. */
  lease(workerId: string, names: readonly string[] | undefined, accept: (message: StoredMessage) => boolean): StoredMessage | undefined {
    const queue = names === undefined ? this.#mostUrgent() : this.#firstReady(names);
    const next = queue?.next(this.#clock.now());
    if (queue === undefined || next === undefined || !accept(next)) return undefined;
    queue.ready.pop();
    this.#hand(next, workerId);
    return next;
  }

  /** Passes a leased message on to another worker, as a new delivery. */
  pass(message: StoredMessage, workerId: string): void {
    this.#unlease(message);
    this.#hand(message, workerId);
  }

  hasReady(names: readonly string[] | undefined): boolean {
    return (names === undefined ? this.#mostUrgent() : this.#firstReady(names)) !== undefined;
  }

  /** The message of a delivery that is current; undefined when the lease is lost. */
  leased(receipt: Receipt): StoredMessage | undefined {
    const message = this.#queues.get(receipt.queue)?.live.get(receipt.id);
    return message?.lease?.fence === receipt.fence ? message : undefined;
  }

  finish(message: StoredMessage): void {
    const queue = this.#end(message);
    queue.completed += 1;
    if (message.key !== undefined) this.handled.set(message.id, { message, at: this.#clock.now() });
    this.#expireKey(queue, message);
  }

  /** Ends a message that waits or is leased; undefined when it does neither. */
  cancel(id: string, by: string | null): { message: StoredMessage; workerId: string | undefined } | undefined {
    const message = this.live(id);
    if (message === undefined) return undefined;
    const { lease } = message;
    const queue = this.#make(message.queue);
    if (lease === undefined) queue.takeWaiting((each) => each === message);
    this.#end(message);
    this.#expireKey(queue, message);
    this.cancellations.add({ message, at: this.#clock.now(), by, fence: lease?.fence });
    return { message, workerId: lease?.workerId };
  }

  /** The message that waits or is leased. */
  live(id: string): StoredMessage | undefined {
    for (const queue of this.#queues.values()) {
      const message = queue.live.get(id);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  /** Puts a leased message back; it keeps its age. */
  giveBack(message: StoredMessage, delayMs: number): void {
    this.#unlease(message);
    if (delayMs > 0) message.readyAt = this.#clock.now() + delayMs;
    this.#enqueue(this.#make(message.queue), message);
  }

  bury(message: StoredMessage, failure: Parameters<DeadLetters["add"]>[1]): void {
    this.#end(message);
    this.deadLetters.add(message, failure, this.#clock.now());
  }

  /** Puts a dead letter back into its queue, as the youngest of its priority. */
  revive(message: StoredMessage): void {
    this.#age += 1;
    this.#enqueue(this.#make(message.queue), {
      ...message,
      age: this.#age,
      readyAt: this.#clock.now(),
      lease: undefined,
      // Whatever was sent with the key in the meantime goes first.
      deduplicate: undefined,
    });
  }

  /** Removes a dead letter and forgets its key; in an audited action it can be put back. */
  discard(letter: StoredDeadLetter): void {
    const { queue, key } = letter.message;
    const keys = this.#queues.get(queue)?.keys;
    const known = key === undefined ? undefined : keys?.get(key);
    this.deadLetters.delete(letter);
    if (key !== undefined) keys?.delete(key);
    this.audit.removed(() => {
      if (!this.deadLetters.putBack(letter)) return false;
      if (key !== undefined && known !== undefined && keys?.has(key) === false) keys.set(key, known);
      return true;
    });
  }

  depth(): number {
    const now = this.#clock.now();
    let depth = 0;
    for (const queue of this.#queues.values()) {
      queue.promote(now);
      depth += queue.ready.size + queue.held.length + queue.lines.behind;
    }
    return depth;
  }

  counts(): QueueCounts[] {
    const now = this.#clock.now();
    const failed = this.deadLetters.countByQueue();
    const foreign = [...failed].filter(([name]) => parseForeignQueue(name) !== undefined);
    const none = { ready: 0, scheduled: 0, active: 0, completed: 0, oldestReadyAgeMs: null, accuracy: "exact" } as const;
    const own = [...this.#queues.values()].map((queue): QueueCounts => {
      queue.promote(now);
      let oldest = Number.POSITIVE_INFINITY;
      for (const { readyAt } of [...queue.ready.values(), ...queue.held, ...queue.lines.waiting()]) if (readyAt < oldest) oldest = readyAt;
      const ready = queue.ready.size + queue.held.length + queue.lines.behind;
      return {
        queue: queue.name,
        ready,
        scheduled: queue.scheduled.size,
        active: queue.live.size - ready - queue.scheduled.size,
        failed: failed.get(queue.name) ?? 0,
        completed: queue.completed,
        oldestReadyAgeMs: ready === 0 ? null : Math.max(0, now - oldest),
        accuracy: "exact",
      };
    });
    // Dead letters that are kept for other transports.
    return [...own, ...foreign.map(([queue, count]) => ({ queue, ...none, failed: count }))];
  }

  /** The queue, when it was declared or has had a message. */
  has(name: string): boolean {
    return this.#queues.has(name);
  }

  pause({ queue, type = WHOLE }: PauseTarget, by: string | null): void {
    const { pauses } = this.#make(queue);
    if (pauses.has(type)) return;
    const pausedAt = new Date(this.#clock.now()).toISOString();
    pauses.set(type, { queue, ...(type === WHOLE ? {} : { type }), pausedAt, pausedBy: by });
  }

  resume({ queue: name, type = WHOLE }: PauseTarget): boolean {
    const queue = this.#make(name);
    if (!queue.pauses.delete(type)) return false;
    for (const message of queue.held.splice(0)) this.#enqueue(queue, message);
    this.wake([name]);
    return true;
  }

  pauses(): Pause[] {
    const all = [...this.#queues.values()].flatMap((queue) => [...queue.pauses.values()]);
    const name = (pause: Pause): string => `${pause.queue}\n${pause.type ?? ""}`;
    return all.sort((a, b) => (name(a) < name(b) ? -1 : 1));
  }

  /** Everything of the target that waits, ready or not. */
  waiting({ queue: name, type }: PauseTarget): StoredMessage[] {
    const fits = (message: StoredMessage): boolean => message.lease === undefined && (type === undefined || message.type === type);
    return [...this.#make(name).live.values()].filter(fits);
  }

  /** Removes waiting messages as if they had never been sent; in an audited action they can be put back. */
  remove(messages: readonly StoredMessage[]): void {
    const gone = new Set(messages);
    for (const queue of new Set(messages.map((message) => this.#make(message.queue)))) {
      for (const message of queue.takeWaiting((each) => gone.has(each))) {
        this.#end(message);
        const known = message.key === undefined ? undefined : queue.keys.get(message.key);
        if (message.key !== undefined) queue.keys.delete(message.key);
        this.audit.removed(() => {
          if (queue.live.has(message.id) || this.#queues.get(queue.name) !== queue) return false;
          if (message.key !== undefined && known !== undefined && !queue.keys.has(message.key)) queue.keys.set(message.key, known);
          this.#enqueue(queue, message);
          return true;
        });
      }
    }
  }

  listen(listener: (queues: readonly string[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  wake(queues: Iterable<string>): void {
    const names = [...new Set(queues)];
    if (names.length === 0) return;
    for (const listener of this.#listeners) {
      // Not from within the sender's call: what a listener does, or throws, is not the sender's.
      queueMicrotask(() => {
        if (this.#listeners.has(listener)) listener(names);
      });
    }
  }

  clear(): void {
    const names = [...this.#queues.keys()];
    this.#queues.clear();
    this.#expiring.length = 0;
    this.#expired = 0;
    this.deadLetters.clear();
    this.cancellations.clear();
    this.handled.clear();
    this.workers.clear();
    this.audit.clear();
    this.schedules.clear();
    this.redrives.clear();
    this.requests.clear();
    for (const name of names) this.#make(name);
  }

  isDue(message: { readonly readyAt: number }): boolean {
    return message.readyAt <= this.#clock.now();
  }

  #make(name: string): Queue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = new Queue(name);
      this.#queues.set(name, queue);
    }
    return queue;
  }

  #enqueue(queue: Queue, message: StoredMessage): void {
    queue.live.set(message.id, message);
    if (message.deduplicate !== undefined) queue.unfinished.set(message.deduplicate, message.id);
    if (!queue.lines.join(message)) return;
    (this.isDue(message) ? queue.ready : queue.scheduled).push(message);
  }

  #hand(message: StoredMessage, workerId: string): void {
    this.#fence += 1;
    message.lease = { workerId, fence: this.#fence, sinceMs: this.#clock.monotonic(), at: this.#clock.now() };
    this.workers.hold(workerId, message);
  }

  #end(message: StoredMessage): Queue {
    const queue = this.#make(message.queue);
    this.#unlease(message);
    queue.live.delete(message.id);
    if (message.deduplicate !== undefined && queue.unfinished.get(message.deduplicate) === message.id)
      queue.unfinished.delete(message.deduplicate);
    const next = queue.lines.leave(message);
    if (next !== undefined) {
      this.#enqueue(queue, next);
      this.wake([queue.name]);
    }
    return queue;
  }

  #unlease(message: StoredMessage): void {
    if (message.lease !== undefined) this.workers.letGo(message.lease.workerId, message);
    message.lease = undefined;
  }

  #firstReady(names: readonly string[]): Queue | undefined {
    const now = this.#clock.now();
    for (const name of names) {
      const queue = this.#queues.get(name);
      if (queue?.next(now) !== undefined) return queue;
    }
    return undefined;
  }

  #mostUrgent(): Queue | undefined {
    const now = this.#clock.now();
    let best: { queue: Queue; message: StoredMessage } | undefined;
    for (const queue of this.#queues.values()) {
      const message = queue.next(now);
      if (message === undefined) continue;
      const more = best === undefined ? 1 : message.priority - best.message.priority || best.message.age - message.age;
      if (more > 0) best = { queue, message };
    }
    return best?.queue;
  }

  #expireKey(queue: Queue, { key, id }: StoredMessage): void {
    if (key !== undefined) this.#expiring.push({ queue, key, id, atMs: this.#clock.monotonic() + this.#windowMs });
  }

  /** Drops keys whose window is over. The window is the same for all, so they end in the order in which they were added. */
  #forgetKeys(): void {
    const now = this.#clock.monotonic();
    for (let next = this.#expiring[this.#expired]; next !== undefined && next.atMs <= now; next = this.#expiring[this.#expired]) {
      if (next.queue.keys.get(next.key)?.id === next.id) next.queue.keys.delete(next.key);
      this.handled.delete(next.id);
      this.#expired += 1;
    }
    if (this.#expired > 1000 && this.#expired * 2 > this.#expiring.length) {
      this.#expiring.splice(0, this.#expired);
      this.#expired = 0;
    }
  }
}
