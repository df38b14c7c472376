import type { Pause } from "../../queue-control.ts";
import { Heap } from "./heap.ts";
import { Lines } from "./lines.ts";
import type { StoredMessage } from "./stored-message.ts";

/** A key is known while its message is there, and for the window after it was handled. */
interface KnownKey {
  readonly id: string;
  readonly digest: string;
}

/** Stands for all types of a queue; no name of a type. */
export const WHOLE = "";

/** One queue of a memory transport. */
export class Queue {
  readonly name: string;
  readonly ready = new Heap<StoredMessage>((a, b) => a.priority > b.priority || (a.priority === b.priority && a.age < b.age));
  readonly scheduled = new Heap<StoredMessage>((a, b) => a.readyAt < b.readyAt || (a.readyAt === b.readyAt && a.age < b.age));
  /** Everything that is not settled for good, leased or not. */
  readonly live = new Map<string, StoredMessage>();
  readonly keys = new Map<string, KnownKey>();
  /** By type; that of the whole queue under `WHOLE`. */
  readonly pauses = new Map<string, Pause>();
  /** Deduplication key → id of the message that is not finished. */
  readonly unfinished = new Map<string, string>();
  readonly lines = new Lines();
  /** Ready, and of a type that is paused. */
  readonly held: StoredMessage[] = [];
  completed = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Moves what has become due to the ready messages, and those of paused types out of the way. */
  promote(now: number): void {
    for (let next = this.scheduled.peek(); next !== undefined && next.readyAt <= now; next = this.scheduled.peek()) {
      this.scheduled.pop();
      this.ready.push(next);
    }
    if (this.pauses.size === 0) return;
    for (let next = this.ready.peek(); next !== undefined && this.pauses.has(next.type); next = this.ready.peek()) {
      this.ready.pop();
      this.held.push(next);
    }
  }

  /** What could be received. */
  next(now: number): StoredMessage | undefined {
    if (this.pauses.has(WHOLE)) return undefined;
    this.promote(now);
    return this.ready.peek();
  }

  /** Takes out what waits and fits. */
  takeWaiting(fits: (message: StoredMessage) => boolean): StoredMessage[] {
    const behind = this.lines.waiting().filter(fits);
    const held = this.held.splice(0);
    this.held.push(...held.filter((message) => !fits(message)));
    return [...behind, ...this.ready.take(fits), ...this.scheduled.take(fits), ...held.filter(fits)];
  }
}
