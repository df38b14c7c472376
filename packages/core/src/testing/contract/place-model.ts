import assert from "node:assert/strict";
import { isCancellable, isFindable } from "../../message-control.ts";
import { isPausable, isPurgeable } from "../../queue-control.ts";
import { delay, expiry, idempotencyKey, priority, queueName } from "../../stamps.ts";
import {
  isCountable,
  isListable,
  isReapable,
  isSupervisable,
  isTransactional,
  type Receipt,
  type Received,
  type Rejection,
} from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { assertStatuses, type ContractKit, failure, TYPE } from "./kit.ts";

/** What can happen to messages. Two numbers say to which and how; any numbers do, so that a failing list can be made shorter. */
export interface Operation {
  readonly kind: OperationKind;
  readonly a: number;
  readonly b: number;
}

export const OPERATION_KINDS = [
  "send",
  "receive",
  "acknowledge",
  "retry",
  "retryLater",
  "deadLetter",
  "release",
  "settleLate",
  "redrive",
  "remove",
  "cancel",
  "pause",
  "resume",
  "purge",
  "sendAgain",
  "retire",
  "suspect",
  "reap",
  "adopt",
  "transact",
] as const;

export type OperationKind = (typeof OPERATION_KINDS)[number];

type Place = "waiting" | "scheduled" | "active" | "failed" | "cancelled" | "handled" | "gone";

interface Known {
  readonly id: string;
  readonly queue: string;
  readonly type: string;
  readonly priority: number;
  readonly key: string | undefined;
  /** Position in the order of sending, until something other than a release has happened to it. */
  order: number | undefined;
  place: Place;
  held: Received | undefined;
  worker: string | undefined;
}

const TYPES = [TYPE, "contract.other"] as const;
const WORKERS = ["w1", "w2", "w3"] as const;
const HOUR_MS = 3_600_000;
const SETTLED_LATE_KEPT = 20;

/**
 * Does to a transport what a list of operations says, keeps book of where each message must be, and compares after each
 * of them: every message is in exactly one place, none is lost, and none comes back that has ended.
 */
export class PlaceModel {
  readonly #kit: ContractKit;
  readonly #known: Known[] = [];
  readonly #paused = new Map<string, { queue: string; type?: string }>();
  readonly #lives = new Map<string, number>();
  #stale: Receipt[] = [];
  #keys = 0;

  constructor(kit: ContractKit) {
    this.#kit = kit;
  }

  /** @throws {AssertionError} at the first operation after which something is not where it must be. */
  async run(operations: readonly Operation[]): Promise<void> {
    for (const [step, operation] of operations.entries()) {
      try {
        await this.#perform[operation.kind](operation);
        await this.check();
      } catch (error) {
        throw new Error(`step ${step}: ${JSON.stringify(operation)}: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  /** Lifts all pauses and handles everything that is ready, redriving dead letters once: nothing may be left over. */
  async finish(): Promise<void> {
    for (const key of [...this.#paused.keys()]) await this.#resume(key);
    for (const one of this.#at("active")) await this.#settle(one, { receipt: receiptOf(one), release: true }, "waiting");
    const { transport } = this.#kit;
    if (isListable(transport)) for (const one of this.#at("failed")) await this.#redrive(one);
    for (let round = 0; this.#at("waiting").length > 0; round++) {
      assert.ok(round < 500, `${this.#at("waiting").length} messages are never received`);
      await this.#receive("w1", 20);
      for (const one of this.#at("active")) await this.#acknowledge(one);
    }
    await this.check();
  }

  /** Everything is where it must be, and nowhere else. */
  async check(): Promise<void> {
    const { transport } = this.#kit;
    if (isFindable(transport)) for (const one of this.#known) assert.equal(await this.#found(one), expectedFind(one), describeOne(one));
    if (isCountable(transport)) await this.#checkCounts(await transport.getCounts());
    if (isListable(transport)) {
      const { deadLetters, total } = await transport.listDeadLetters({}, { limit: 200 });
      const expected = this.#at("failed").map(({ id }) => id);
      assert.deepEqual(deadLetters.map(({ id }) => id).sort(), expected.sort(), "the dead letters");
      assert.equal(total, expected.length);
    }
    const places = await this.#kit.fixture.places?.();
    if (places === undefined) return;
    const expected = this.#known.filter(({ place }) => ["waiting", "scheduled", "active", "failed"].includes(place));
    const twice = [...places].filter(([, count]) => count > 1).map(([id]) => id);
    assert.deepEqual(twice, [], "no message is in two places");
    assert.deepEqual([...places.keys()].sort(), expected.map(({ id }) => id).sort(), "what is stored");
  }

  async #found({ id }: Known): Promise<string> {
    const { transport } = this.#kit;
    const found = isFindable(transport) ? await transport.findMessage(id) : undefined;
    return found === undefined ? "nowhere" : `${found.state} ${found.workerId ?? ""}`.trim();
  }

  async #checkCounts(
    counts: readonly { queue: string; ready: number; scheduled: number; active: number; failed: number }[],
  ): Promise<void> {
    for (const queue of this.#kit.queues) {
      const here = this.#known.filter((one) => one.queue === queue);
      const count = (place: Place): number => here.filter((one) => one.place === place).length;
      const { ready = 0, scheduled = 0, active = 0, failed = 0 } = counts.find((each) => each.queue === queue) ?? {};
      assert.deepEqual(
        { ready, scheduled, active, failed },
        { ready: count("waiting"), scheduled: count("scheduled"), active: count("active"), failed: count("failed") },
        `the counts of ${queue}`,
      );
    }
  }

  readonly #perform: Readonly<Record<OperationKind, (operation: Operation) => Promise<void>>> = {
    send: ({ a, b }) => this.#send(a, b),
    receive: ({ a, b }) => this.#receive(pick(WORKERS, a), 1 + (b % 5)),
    acknowledge: ({ a }) => this.#with("active", a, (one) => this.#acknowledge(one)),
    retry: ({ a }) =>
      this.#with("active", a, (one) => this.#settle(one, { receipt: receiptOf(one), retryInMs: 0, patch: PATCH }, "waiting")),
    retryLater: ({ a }) =>
      this.#with("active", a, (one) => this.#settle(one, { receipt: receiptOf(one), retryInMs: HOUR_MS, patch: PATCH }, "scheduled")),
    deadLetter: ({ a, b }) =>
      this.#with("active", a, (one) =>
        this.#settle(
          one,
          { receipt: receiptOf(one), deadLetter: failure({ reason: b % 2 === 0 ? "retries_exhausted" : "expired" }) },
          "failed",
        ),
      ),
    release: ({ a }) => this.#with("active", a, (one) => this.#settle(one, { receipt: receiptOf(one), release: true }, "waiting", true)),
    settleLate: ({ a, b }) => this.#settleLate(a, b),
    redrive: ({ a }) => this.#with("failed", a, (one) => this.#redrive(one)),
    remove: ({ a }) => this.#with("failed", a, (one) => this.#remove(one)),
    cancel: ({ a }) => this.#cancel(a),
    pause: ({ a, b }) => this.#pause(a, b),
    resume: ({ a }) => this.#resume(pick([...this.#paused.keys()], a)),
    purge: ({ a }) => this.#purge(pick(this.#kit.queues, a)),
    sendAgain: ({ a }) => this.#sendAgain(a),
    retire: ({ a }) => this.#die(pick(WORKERS, a), "retire"),
    suspect: ({ a }) => this.#die(pick(WORKERS, a), "retireAsSuspects"),
    reap: ({ a }) => this.#die(pick(WORKERS, a), "reap"),
    adopt: ({ a, b }) => this.#with("active", a, (one) => this.#adopt(one, pick(WORKERS, b))),
    transact: ({ a, b }) => this.#with("active", a, (one) => this.#transact(one, b % 2 === 0)),
  };

  #at(place: Place): Known[] {
    return this.#known.filter((one) => one.place === place);
  }

  async #with(place: Place, n: number, act: (one: Known) => Promise<void>): Promise<void> {
    const all = this.#at(place);
    const one = all[n % Math.max(1, all.length)];
    if (one !== undefined) await act(one);
  }

  async #send(a: number, b: number): Promise<void> {
    const queue = pick(this.#kit.queues, a);
    const type = pick(TYPES, b);
    const level = 1 + (Math.floor(a / 2) % 3);
    const later = b % 5 === 4;
    const key = b % 4 === 3 ? `key-${this.#keys++}` : undefined;
    const stamps = [
      queueName({ queue }),
      priority({ priority: level }),
      ...(later ? [delay({ delayMs: HOUR_MS })] : []),
      ...(b % 3 === 0 ? [expiry({ at: this.#kit.now() + HOUR_MS })] : []),
      ...(key === undefined ? [] : [idempotencyKey({ key })]),
    ];
    const [id] = await this.#kit.send(testEnvelope(type, { n: this.#known.length }, stamps));
    const place = later ? "scheduled" : "waiting";
    const order = this.#known.length;
    this.#known.push({ id: id ?? "", queue, type, priority: level, key, order, place, held: undefined, worker: undefined });
  }

  /** The same key again: the first message's id, and no second message. */
  async #sendAgain(n: number): Promise<void> {
    const keyed = this.#known.filter(({ key, place }) => key !== undefined && place !== "gone" && place !== "failed");
    const one = keyed[n % Math.max(1, keyed.length)];
    if (one?.key === undefined) return;
    const payload = { n: this.#known.indexOf(one) };
    const again = testEnvelope(one.type, payload, [
      queueName({ queue: one.queue }),
      priority({ priority: one.priority }),
      idempotencyKey({ key: one.key }),
    ]);
    assert.deepEqual(await this.#kit.transport.send([again]), [{ kind: "duplicate", id: one.id, queue: one.queue }]);
  }

  /** Whoever asks gets the most urgent ones, those of equals that were sent first, and of a later queue only what an earlier one leaves. */
  async #receive(worker: string, max: number): Promise<void> {
    const workerId = this.#idOf(worker);
    const expected = Math.min(max, this.#ready().length);
    let left = max;
    const take = async (): Promise<boolean> => {
      const received = await this.#kit.receive(left, { workerId });
      left -= received.length;
      this.#take(received, workerId);
      return max - left >= expected;
    };
    // After a resume a store may take a moment to notice.
    await this.#kit.eventually(take, `receiving ${expected} messages`);
  }

  #take(received: readonly Received[], workerId: string): void {
    for (const each of received) {
      const one = this.#known.find(({ id }) => id === each.receipt.id);
      assert.ok(one !== undefined, `${each.receipt.id} was never sent`);
      const ready = this.#ready();
      assert.ok(ready.includes(one), `${describeOne(one)} was received`);
      const first = this.#kit.queues.find((queue) => ready.some((other) => other.queue === queue));
      assert.equal(one.queue, first, `an earlier queue has messages, and ${describeOne(one)} was received`);
      const rivals = ready.filter(({ queue }) => queue === one.queue);
      assert.equal(one.priority, Math.max(...rivals.map((other) => other.priority)), `the most urgent of ${one.queue}`);
      const earlier = rivals.find((other) => other.priority === one.priority && (other.order ?? Infinity) < (one.order ?? 0));
      assert.equal(earlier?.id, undefined, `${describeOne(one)} was received before one that was sent earlier`);
      one.place = "active";
      one.held = each;
      one.worker = workerId;
    }
  }

  #ready(): Known[] {
    const pauses = [...this.#paused.values()];
    const isHeld = (one: Known): boolean => pauses.some(({ queue, type }) => queue === one.queue && (type ?? one.type) === one.type);
    return this.#at("waiting").filter((one) => !isHeld(one));
  }

  async #acknowledge(one: Known): Promise<void> {
    const receipt = receiptOf(one);
    assertStatuses(await this.#kit.transport.acknowledge([receipt]), [receipt], "settled");
    this.#leave(one, "handled");
  }

  async #settle(one: Known, rejection: Rejection, place: Place, keepsOrder = false): Promise<void> {
    const { receipt } = rejection;
    assertStatuses(await this.#kit.transport.reject([rejection]), [receipt], "settled");
    this.#leave(one, place, keepsOrder);
  }

  #leave(one: Known, place: Place, keepsOrder = false): void {
    if (one.held !== undefined) this.#stale = [one.held.receipt, ...this.#stale].slice(0, SETTLED_LATE_KEPT);
    one.place = place;
    one.held = undefined;
    one.worker = undefined;
    if (!keepsOrder) one.order = undefined;
  }

  /** A delivery that is over says something more: nothing comes of it. */
  async #settleLate(a: number, b: number): Promise<void> {
    const receipt = this.#stale[a % Math.max(1, this.#stale.length)];
    if (receipt === undefined) return;
    const { transport } = this.#kit;
    const said = [
      () => transport.acknowledge([receipt]),
      () => transport.reject([{ receipt, deadLetter: failure() }]),
      () => transport.reject([{ receipt, retryInMs: 0 }]),
      () => transport.reject([{ receipt, release: true }]),
    ] as const;
    assertStatuses(await pick(said, b)(), [receipt], "lease_lost");
  }

  async #redrive(one: Known): Promise<void> {
    assert.deepEqual(await this.#kit.listable.redriveDeadLetters({ ids: [one.id] }, 1), { redriven: [one.id], conflicts: [] });
    this.#leave(one, "waiting");
  }

  async #remove(one: Known): Promise<void> {
    assert.deepEqual(await this.#kit.listable.removeDeadLetters({ ids: [one.id] }, 1), { removed: [one.id] });
    this.#leave(one, "gone");
  }

  async #cancel(n: number): Promise<void> {
    const one = this.#known[n % Math.max(1, this.#known.length)];
    const { transport } = this.#kit;
    if (one === undefined || !isCancellable(transport)) return;
    const { kind } = await transport.cancelMessage(one.id, "the model");
    if (one.place === "waiting" || one.place === "scheduled") assert.equal(kind, "removed");
    else if (one.place === "active") assert.equal(kind, "interrupted");
    else assert.ok(kind === "over" || kind === "unknown", kind);
    if (kind === "removed" || kind === "interrupted") this.#leave(one, "cancelled");
  }

  async #pause(a: number, b: number): Promise<void> {
    if (!isPausable(this.#kit.transport)) return;
    const target = { queue: pick(this.#kit.queues, a), ...(b % 3 === 0 ? {} : { type: pick(TYPES, b) }) };
    await this.#kit.transport.pauseQueue(target, "the model");
    this.#paused.set(`${target.queue} ${target.type}`, target);
  }

  async #resume(key: string | undefined): Promise<void> {
    const target = this.#paused.get(key ?? "");
    const { transport } = this.#kit;
    if (target === undefined || !isPausable(transport)) return;
    assert.equal(await transport.resumeQueue(target), true);
    this.#paused.delete(key ?? "");
  }

  async #purge(queue: string): Promise<void> {
    const { transport } = this.#kit;
    if (!isPurgeable(transport)) return;
    const waiting = [...this.#at("waiting"), ...this.#at("scheduled")].filter((one) => one.queue === queue);
    assert.deepEqual(await transport.purgeQueue(queue), { removed: waiting.length });
    for (const one of waiting) this.#leave(one, "gone");
  }

  /** The worker ends, in one of three ways; it comes back under another name, as every new one does. */
  async #die(worker: string, how: "retire" | "retireAsSuspects" | "reap"): Promise<void> {
    const { transport } = this.#kit;
    if (!isReapable(transport) || (how === "retireAsSuspects" && !isSupervisable(transport))) return;
    const workerId = this.#idOf(worker);
    const lost = this.#at("active").filter((one) => one.worker === workerId);
    await this.#kit.beat(workerId);
    if (how === "reap") {
      await this.#kit.silence(workerId);
      await this.#kit.eventually(async () => {
        await this.#kit.beatAllBut(workerId);
        return (await transport.reap(this.#kit.silentMs)).workers.includes(workerId);
      }, `the end of ${workerId}`);
    } else if (how === "retire") assert.deepEqual(await transport.retire(workerId), { messages: lost.length });
    else if (isSupervisable(transport)) assert.deepEqual(await transport.retireAsSuspects(workerId), { messages: lost.length });
    this.#kit.forget(workerId);
    this.#lives.set(worker, (this.#lives.get(worker) ?? 0) + 1);
    for (const one of lost) this.#leave(one, "waiting");
  }

  async #adopt(one: Known, worker: string): Promise<void> {
    const { transport } = this.#kit;
    if (!isSupervisable(transport)) return;
    const workerId = this.#idOf(worker);
    await this.#kit.beat(workerId);
    const [adopted, ...more] = await transport.adopt([receiptOf(one)], workerId);
    assert.equal(more.length, 0);
    assert.equal(adopted?.receipt.id, one.id);
    this.#leave(one, "active");
    one.held = adopted;
    one.worker = workerId;
  }

  async #transact(one: Known, commits: boolean): Promise<void> {
    const { transport } = this.#kit;
    if (!isTransactional(transport)) return;
    const broken = new Error("rolled back");
    const work = transport.transaction(receiptOf(one), () => (commits ? Promise.resolve() : Promise.reject(broken)));
    if (!commits) return assert.rejects(work, (error) => error === broken);
    await work;
    this.#leave(one, "handled");
  }

  #idOf(worker: string): string {
    return `${worker}-${this.#lives.get(worker) ?? 0}`;
  }
}

const PATCH = { tries: { failures: 1, crashes: 0, interruptions: 0 } };

const receiptOf = (one: Known): Receipt => {
  assert.ok(one.held !== undefined, `nobody has ${describeOne(one)}`);
  return one.held.receipt;
};

function expectedFind({ place, key, worker }: Known): string {
  if (place === "gone" || (place === "handled" && key === undefined)) return "nowhere";
  return place === "active" ? `active ${worker}` : place;
}

const describeOne = ({ id, queue, type, priority: level, place, worker }: Known): string =>
  `${type} ${id} of ${queue}, priority ${level}, ${place}${worker === undefined ? "" : ` at ${worker}`}`;

function pick<T>(from: readonly T[], n: number): T {
  return from[n % Math.max(1, from.length)] as T;
}
