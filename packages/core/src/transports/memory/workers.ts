import type { Clock } from "../../clock.ts";
import type { WorkerInfo, WorkerRow } from "../../transport.ts";
import type { StoredMessage } from "./stored-message.ts";

interface LiveWorker {
  readonly info: WorkerInfo;
  readonly startedAt: number;
  readonly lastBeatAt: number;
  /** Monotonic clock. */
  readonly beatMs: number;
  readonly inFlight: number;
}

/** Enough to tell every worker that may still be beating; an id is never used again. */
const REAPED_KEPT = 10_000;

/** Who beats, who was reaped, and who holds which messages. */
export class Workers {
  readonly #clock: Clock;
  readonly #live = new Map<string, LiveWorker>();
  readonly #reaped = new Set<string>();
  readonly #held = new Map<string, Set<StoredMessage>>();
  #stopRequestedAt: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isReaped(workerId: string): boolean {
    return this.#reaped.has(workerId);
  }

  beat(info: WorkerInfo, inFlight: number): boolean {
    if (this.#reaped.has(info.workerId)) return false;
    const now = this.#clock.now();
    const startedAt = this.#live.get(info.workerId)?.startedAt ?? now;
    this.#live.set(info.workerId, { info, startedAt, lastBeatAt: now, beatMs: this.#clock.monotonic(), inFlight });
    return true;
  }

  /** Strikes off who has not beaten for `olderThanMs`; with what they held, and what is held by nobody known for as long. */
  strikeOff(olderThanMs: number): { workers: string[]; messages: StoredMessage[] } {
    const before = this.#clock.monotonic() - olderThanMs;
    const workers = [...this.#live.values()].filter((worker) => worker.beatMs <= before).map((worker) => worker.info.workerId);
    for (const workerId of workers) {
      this.#live.delete(workerId);
      this.#reaped.add(workerId);
    }
    for (const workerId of this.#reaped) {
      if (this.#reaped.size <= REAPED_KEPT) break;
      this.#reaped.delete(workerId);
    }
    const messages: StoredMessage[] = [];
    const struck = new Set(workers);
    for (const [workerId, held] of this.#held) {
      if (this.#live.has(workerId)) continue;
      for (const message of held) if (struck.has(workerId) || (message.lease?.sinceMs ?? 0) <= before) messages.push(message);
    }
    return { workers, messages };
  }

  /** Forgets a worker; resolves with what it held. */
  remove(workerId: string): StoredMessage[] {
    this.#live.delete(workerId);
    return [...(this.#held.get(workerId) ?? [])];
  }

  list(): WorkerRow[] {
    return [...this.#live.values()].map(({ info, startedAt, lastBeatAt, inFlight }) => ({
      ...info,
      startedAt: new Date(startedAt).toISOString(),
      lastBeatAt: new Date(lastBeatAt).toISOString(),
      inFlight,
    }));
  }

  requestStop(): void {
    this.#stopRequestedAt = this.#clock.now();
  }

  news(): { stopRequestedAt: string | null; now: string; silentMs: number } {
    const stopRequestedAt = this.#stopRequestedAt === undefined ? null : new Date(this.#stopRequestedAt).toISOString();
    const now = this.#clock.monotonic();
    const silentMs = Math.max(0, ...[...this.#live.values()].map(({ beatMs }) => now - beatMs));
    return { stopRequestedAt, now: new Date(this.#clock.now()).toISOString(), silentMs };
  }

  hold(workerId: string, message: StoredMessage): void {
    const held = this.#held.get(workerId);
    if (held === undefined) this.#held.set(workerId, new Set([message]));
    else held.add(message);
  }

  letGo(workerId: string, message: StoredMessage): void {
    const held = this.#held.get(workerId);
    held?.delete(message);
    if (held?.size === 0) this.#held.delete(workerId);
  }

  clear(): void {
    this.#live.clear();
    this.#reaped.clear();
    this.#held.clear();
    this.#stopRequestedAt = undefined;
  }
}
