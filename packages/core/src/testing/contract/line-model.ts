import assert from "node:assert/strict";
import { partitionKey } from "../../stamps.ts";
import { isReapable, type Received } from "../../transport.ts";
import { type ContractKit, envelopeOf } from "./kit.ts";

/** Uniform in [0, 1), the same for the same seed: what failed can be run again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}

const KEYS = ["a", "b", "c"] as const;
const WORKERS = ["worker-1", "worker-2", "worker-3"] as const;

interface InFlight {
  readonly received: Received;
  readonly worker: string;
  readonly key: string;
}

/**
 * Does at random what can happen to messages with partition keys (sent, received by one of several workers, handled,
 * retried, released, dead-lettered, lost with their worker) and compares with what the rule says: one of a key is in
 * flight at a time, and it is the oldest that is not finished.
 */
export class LineModel {
  readonly #kit: ContractKit;
  readonly #random: () => number;
  readonly #lines = new Map<string, number[]>(KEYS.map((key) => [key, []]));
  #inFlight: InFlight[] = [];
  readonly #lives = new Map<string, number>();
  #sent = 0;
  finished = 0;

  constructor(kit: ContractKit, seed: number) {
    this.#kit = kit;
    this.#random = seeded(seed);
  }

  get sent(): number {
    return this.#sent;
  }

  async step(): Promise<void> {
    const roll = this.#random();
    if (roll < 0.25) await this.#send();
    else if (roll < 0.6) await this.#receive(this.#pick(WORKERS));
    else if (roll < 0.95) await this.#settle();
    else await this.#crash(this.#pick(WORKERS));
  }

  /** Handles what is left. */
  async finish(): Promise<void> {
    const left = (): boolean => [...this.#lines.values()].some((line) => line.length > 0);
    for (let round = 0; left(); round++) {
      assert.ok(round < 2_000, `not finished: ${JSON.stringify([...this.#lines])}`);
      await this.#receive(this.#pick(WORKERS));
      for (const one of [...this.#inFlight]) await this.#acknowledge(one);
      if (round % 10 === 9) await this.#kit.tick(20);
    }
  }

  async #send(): Promise<void> {
    const key = this.#pick(KEYS);
    const count = 1 + Math.floor(this.#random() * 3);
    const numbers = Array.from({ length: count }, () => this.#sent++);
    this.#lines.get(key)?.push(...numbers);
    await this.#kit.send(...numbers.map((n) => this.#kit.envelope({ n }, partitionKey({ key }))));
  }

  async #receive(worker: string): Promise<void> {
    const workerId = this.#idOf(worker);
    for (const received of await this.#kit.receive(1 + Math.floor(this.#random() * 5), { workerId })) {
      const envelope = envelopeOf(received);
      const key = envelope.last(partitionKey)?.key ?? "";
      const { n } = envelope.message.payload as { n: number };
      assert.ok(!this.#inFlight.some((each) => each.key === key), `two of key ${key} are in flight`);
      assert.equal(n, this.#lines.get(key)?.[0], `the oldest of key ${key}, ${this.#lines.get(key)?.join()}`);
      this.#inFlight.push({ received, worker: workerId, key });
    }
  }

  async #settle(): Promise<void> {
    const one = this.#inFlight[Math.floor(this.#random() * this.#inFlight.length)];
    if (one === undefined) return;
    const roll = this.#random();
    if (roll < 0.5) return this.#acknowledge(one);
    if (roll < 0.6) {
      await this.#kit.deadLetter(one.received);
      return this.#end(one);
    }
    const { receipt } = one.received;
    const patch = { tries: { failures: 1, crashes: 0, interruptions: 0 } };
    await this.#kit.transport.reject([roll < 0.8 ? { receipt, retryInMs: this.#random() * 20, patch } : { receipt, release: true }]);
    this.#inFlight = this.#inFlight.filter((each) => each !== one);
  }

  async #acknowledge(one: InFlight): Promise<void> {
    await this.#kit.acknowledge(one.received);
    this.#end(one);
  }

  #end(one: InFlight): void {
    this.#lines.get(one.key)?.shift();
    this.#inFlight = this.#inFlight.filter((each) => each !== one);
    this.finished += 1;
  }

  /** What the worker held goes back; it comes back under another name, as every new worker has one. */
  async #crash(worker: string): Promise<void> {
    const { transport } = this.#kit;
    if (!isReapable(transport)) return;
    const workerId = this.#idOf(worker);
    await transport.retire(workerId);
    this.#inFlight = this.#inFlight.filter((each) => each.worker !== workerId);
    this.#lives.set(worker, (this.#lives.get(worker) ?? 0) + 1);
  }

  #idOf(worker: string): string {
    return `${worker}-${this.#lives.get(worker) ?? 0}`;
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }
}
