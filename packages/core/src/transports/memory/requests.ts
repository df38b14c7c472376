import type { Clock } from "../../clock.ts";
import type { KeptAnswer, KeptRequest, RequestClaim, RequestStore } from "../../request-keeper.ts";

interface Stored {
  readonly fingerprint: string;
  readonly answer?: KeptAnswer;
  readonly untilMs: number;
}

/** Requests of a memory transport. A second one under a key does not wait: it is told that the first is under way. */
export class MemoryRequests implements RequestStore {
  readonly #clock: Clock;
  readonly #stored = new Map<string, Stored>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async answerOnce(claim: RequestClaim, work: () => Promise<KeptAnswer>): Promise<{ kept: KeptRequest; isNew: boolean }> {
    const known = await this.claim(claim);
    if (known !== undefined) return { kept: known, isNew: false };
    try {
      const answer = await work();
      await this.keep(claim.key, answer, claim.forMs);
      return { kept: { fingerprint: claim.fingerprint, answer }, isNew: true };
    } catch (error) {
      await this.release(claim.key);
      throw error;
    }
  }

  async claim({ key, fingerprint, forMs }: RequestClaim): Promise<KeptRequest | undefined> {
    const known = this.#stored.get(key);
    if (known !== undefined && known.untilMs > this.#clock.now()) {
      const { untilMs: _, ...kept } = known;
      return structuredClone(kept);
    }
    this.#stored.set(key, { fingerprint, untilMs: this.#clock.now() + forMs });
    return undefined;
  }

  async keep(key: string, answer: KeptAnswer, forMs: number): Promise<void> {
    const known = this.#stored.get(key);
    if (known === undefined) return;
    this.#stored.set(key, {
      fingerprint: known.fingerprint,
      answer: structuredClone(answer),
      untilMs: this.#clock.now() + forMs,
    });
  }

  async release(key: string): Promise<void> {
    this.#stored.delete(key);
  }

  async tidy(): Promise<number> {
    const now = this.#clock.now();
    const over = [...this.#stored].filter(([, { untilMs }]) => untilMs <= now);
    for (const [key] of over) this.#stored.delete(key);
    return over.length;
  }

  clear(): void {
    this.#stored.clear();
  }
}
