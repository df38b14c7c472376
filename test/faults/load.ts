import { pause } from "@symphony/core/testing";
import { Note } from "../fixtures/messages.ts";
import type { Arena } from "./arena.ts";

export interface LoadOptions {
  /** Messages that should wait at any time. */
  readonly backlog?: number;
  /** Milliseconds that a handler takes. */
  readonly sleepMs?: readonly [number, number];
  /** Messages per writer and turn. */
  readonly turn?: number;
}

/** A writer that keeps some messages waiting, so that every fault finds work in flight. */
export class Load {
  readonly #arena: Arena;
  readonly #options: Required<LoadOptions>;
  #running = true;
  #done: Promise<void>;
  sent = 0;

  constructor(arena: Arena, { backlog = 200, sleepMs = [10, 60], turn = 100 }: LoadOptions = {}) {
    this.#arena = arena;
    this.#options = { backlog, sleepMs, turn };
    this.#done = this.#run();
  }

  /** Ends sending; resolves when the answers are in. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #run(): Promise<void> {
    const { backlog, sleepMs, turn } = this.#options;
    while (this.#running) {
      // A database that is away has no backlog to tell of, and is written to all the same.
      const waiting = await this.#arena.unfinished().catch(() => 0);
      if (waiting < backlog) {
        await this.#arena.sendMany(turn, Note, () => ({ sleepMs: this.#arena.random.integer(...sleepMs) }));
        this.sent += turn;
      }
      await pause(waiting < backlog / 2 ? 10 : 60);
    }
  }
}
