import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { type Auditable, isAuditable } from "../../audit.ts";
import { systemClock, systemRuntime } from "../../clock.ts";
import { type Groupable, isGroupable } from "../../dead-letter-groups.ts";
import { type Diagnosable, isDiagnosable } from "../../diagnosis.ts";
import type { Envelope, Stamp } from "../../envelope.ts";
import { type Cancellable, type Findable, isCancellable, isFindable } from "../../message-control.ts";
import { isPausable, isPurgeable, type Pausable, type Purgeable } from "../../queue-control.ts";
import { isRedrivable, type RedriveStore } from "../../redrive/redrives.ts";
import { isRequestKeeping, type RequestStore } from "../../request-keeper.ts";
import { isSchedulable, type ScheduleStore } from "../../schedules/store.ts";
import { queueName } from "../../stamps.ts";
import { isMeasurable, type Measurable } from "../../store-measures.ts";
import {
  type Countable,
  type Failure,
  isCountable,
  isListable,
  isReapable,
  isSetUpAble,
  isSupervisable,
  isTransactional,
  isWakeable,
  type Listable,
  type Reapable,
  type Receipt,
  type Received,
  type ReceiveOptions,
  type Settled,
  type SetUpAble,
  type Supervisable,
  type Transactional,
  type Transport,
  type Wakeable,
  type WorkerInfo,
} from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { pause, waitFor } from "../wait-for.ts";
import { guards } from "./guards.ts";
import type { TransportCapability, TransportFixture } from "./harness.ts";

/** What a test needs beside `send`, `receive`, `acknowledge` and `reject`; without it the test is skipped. */
export type Need = TransportCapability | "reopen" | "corrupt" | "beginTransaction";

/** Registers one test of the suite. */
export type Claim = (claim: string, body: (kit: ContractKit) => Promise<void>, options?: ClaimOptions) => void;

export interface ClaimOptions {
  readonly needs?: readonly Need[];
  /** How many queues the test uses. Default 1. */
  readonly queues?: number;
}

export const TYPE = "contract.message";
const WORKER = "contract-worker";
/** Clocks of the store and of this process are read at different moments and rounded differently. */
export const CLOCK_TOLERANCE_MS = 5;
const DEADLINE_MS = 15_000;
const BEAT_EVERY_MS = 200;
/** Milliseconds. Long enough for a live worker's beat to count on a busy machine. */
const SILENT_MS = 1_000;

/** The queues of a test: the same in all of them, so that a fixture may leave them there, empty. */
export const queueNames = (count: number): string[] => Array.from({ length: count }, (_, i) => `contract-q${i + 1}`);

export const unique = (prefix: string): string => `${prefix}-${randomBytes(6).toString("hex")}`;

export const failure = (more: Partial<Failure> = {}): Failure => ({
  reason: "unrecoverable",
  error: { name: "Error", message: "it broke", stack: "Error: it broke\n    at handle (handler.ts:1:1)", code: "E_BROKEN" },
  fingerprint: "0123456789abcdef",
  attempts: 1,
  workerId: WORKER,
  ...more,
});

/** One transport under test with short ways to say what every test says. */
export class ContractKit {
  readonly fixture: TransportFixture;
  readonly queues: readonly string[];
  /** Of what a test does at random. */
  readonly seed: number;
  /** Workers that are alive in this test, and when they last said so. */
  readonly #beats = new Map<string, number>();
  #other: Promise<Transport> | undefined;

  constructor(fixture: TransportFixture, queues: readonly string[]) {
    this.fixture = fixture;
    this.queues = queues;
    this.seed = fixture.seed ?? Math.floor(systemRuntime.random() * 2 ** 31);
  }

  get transport(): Transport {
    return this.fixture.transport;
  }

  get queue(): string {
    return this.queueAt(0);
  }

  queueAt(index: number): string {
    const queue = this.queues[index];
    assert.ok(queue !== undefined, `the test asks for queue ${index} and declares ${this.queues.length}`);
    return queue;
  }

  /** A second transport over the same store, or the only one when there cannot be two. */
  other(): Promise<Transport> {
    this.#other ??= this.fixture.reopen?.() ?? Promise.resolve(this.transport);
    return this.#other;
  }

  has(need: Need): boolean {
    if (need === "reopen" || need === "corrupt" || need === "beginTransaction") return this.fixture[need] !== undefined;
    return guards[need](this.transport);
  }

  get countable(): Transport & Countable {
    return narrow(this.transport, isCountable);
  }

  get listable(): Transport & Listable {
    return narrow(this.transport, isListable);
  }

  get groupable(): Transport & Groupable {
    return narrow(this.transport, isGroupable);
  }

  get redrives(): RedriveStore {
    return narrow(this.transport, isRedrivable).redrives;
  }

  get requests(): RequestStore {
    return narrow(this.transport, isRequestKeeping).requests;
  }

  get schedules(): ScheduleStore {
    return narrow(this.transport, isSchedulable).schedules;
  }

  get setUpAble(): Transport & SetUpAble {
    return narrow(this.transport, isSetUpAble);
  }

  get transactional(): Transport & Transactional {
    return narrow(this.transport, isTransactional);
  }

  get reapable(): Transport & Reapable {
    return narrow(this.transport, isReapable);
  }

  get supervisable(): Transport & Supervisable {
    return narrow(this.transport, isSupervisable);
  }

  get auditable(): Transport & Auditable {
    return narrow(this.transport, isAuditable);
  }

  get pausable(): Transport & Pausable {
    return narrow(this.transport, isPausable);
  }

  get findable(): Transport & Findable {
    return narrow(this.transport, isFindable);
  }

  get cancellable(): Transport & Cancellable {
    return narrow(this.transport, isCancellable);
  }

  get purgeable(): Transport & Purgeable {
    return narrow(this.transport, isPurgeable);
  }

  get measurable(): Transport & Measurable {
    return narrow(this.transport, isMeasurable);
  }

  get wakeable(): Transport & Wakeable {
    return narrow(this.transport, isWakeable);
  }

  get diagnosable(): Transport & Diagnosable {
    return narrow(this.transport, isDiagnosable);
  }

  /** Wall clock of the store. */
  now(): number {
    return this.fixture.now?.() ?? systemClock.now();
  }

  envelope(payload: unknown = {}, ...stamps: readonly Stamp[]): Envelope {
    return testEnvelope(TYPE, payload, [queueName({ queue: this.queue }), ...stamps]);
  }

  envelopes(count: number, ...stamps: readonly Stamp[]): Envelope[] {
    return Array.from({ length: count }, (_, n) => this.envelope({ n }, ...stamps));
  }

  /** Sends in one call; all must be accepted. Resolves with the ids. */
  async send(...envelopes: readonly Envelope[]): Promise<string[]> {
    const results = await this.transport.send(envelopes);
    assert.equal(results.length, envelopes.length, "one result per envelope");
    return results.map((result) => {
      assert.equal(result.kind, "accepted", result.kind === "refused" ? result.error.message : undefined);
      return result.kind === "accepted" ? result.id : "";
    });
  }

  worker(workerId: string = WORKER): WorkerInfo {
    return { workerId, hostname: hostname(), pid: process.pid, queues: this.queues, slots: 1 };
  }

  /** Makes the worker known to a transport that keeps a list of them, and keeps it alive. */
  async beat(workerId: string, inFlight = 0): Promise<void> {
    if (!isReapable(this.transport)) return;
    const now = this.stopwatch();
    const last = this.#beats.get(workerId);
    if (last !== undefined && this.fixture.advance === undefined && now - last < BEAT_EVERY_MS) return;
    this.#beats.set(workerId, now);
    assert.equal(await this.transport.beat(this.worker(workerId), inFlight), true, `the worker ${workerId} is alive`);
  }

  /** It is gone, and will not beat again. */
  forget(workerId: string): void {
    this.#beats.delete(workerId);
  }

  /** Milliseconds without a beat after which `silence` lets a worker count as dead; long for those that live, if that can be. */
  get silentMs(): number {
    return this.fixture.silence === undefined ? SILENT_MS : SILENT_MS * 60;
  }

  /** No more is heard of this worker. */
  async silence(workerId: string): Promise<void> {
    await this.fixture.silence?.({ workerId, ms: this.silentMs * 2 });
  }

  /** Keeps all workers of this test alive, but one. */
  async beatAllBut(dead: string): Promise<void> {
    for (const workerId of this.#beats.keys()) if (workerId !== dead) await this.beat(workerId);
  }

  async receive(max = 100, options: Partial<ReceiveOptions> = {}, transport: Transport = this.transport): Promise<readonly Received[]> {
    const given = { workerId: WORKER, queues: this.queues, ...options };
    await this.beat(given.workerId);
    const received = await transport.receive(max, given);
    assert.ok(received.length <= max, `${received.length} messages were received, at most ${max} were asked for`);
    return received;
  }

  /** Receives the message that must be waiting. */
  async one(options: Partial<ReceiveOptions> = {}): Promise<Received> {
    const received = await this.receive(1, options);
    assert.equal(received.length, 1, "a message is waiting and must be received");
    return received[0] as Received;
  }

  /** Receives until there are `count`, in the order of arrival; a moment later there must be no more. */
  async drain(count: number, max = 100): Promise<Received[]> {
    const all: Received[] = [];
    // With a manual clock everything is there at once; a store may hold rows back for a moment while others look at them.
    const timeoutMs = this.fixture.advance === undefined ? DEADLINE_MS : 0;
    const enough = async (): Promise<boolean> => {
      for (let more = 1; more > 0 && all.length < count; ) {
        const received = await this.receive(max);
        more = received.length;
        all.push(...received);
      }
      return all.length >= count;
    };
    await waitFor(enough, { timeoutMs, what: `receiving ${count} messages` }).catch(() => undefined);
    assert.equal(all.length, count, "every message is received, and none that was not sent");
    await this.assertNothingWaits();
    return all;
  }

  async assertNothingWaits(): Promise<void> {
    const received = await this.receive();
    assert.deepEqual(
      received.map((each) => each.receipt),
      [],
      "no message may be waiting",
    );
  }

  async acknowledge(...received: readonly Received[]): Promise<void> {
    const receipts = received.map((each) => each.receipt);
    assertStatuses(await this.transport.acknowledge(receipts), receipts, "settled");
  }

  async release(...received: readonly Received[]): Promise<void> {
    const receipts = received.map((each) => each.receipt);
    assertStatuses(await this.transport.reject(receipts.map((receipt) => ({ receipt, release: true }))), receipts, "settled");
  }

  async deadLetter(received: Received, more: Partial<Failure> = {}): Promise<Failure> {
    const deadLetter = failure(more);
    assertStatuses(await this.transport.reject([{ receipt: received.receipt, deadLetter }]), [received.receipt], "settled");
    return deadLetter;
  }

  /** The message of this receipt has ended: it cannot be settled again and does not come back. */
  async assertGone(receipt: Receipt): Promise<void> {
    assertStatuses(await this.transport.reject([{ receipt, release: true }]), [receipt], "lease_lost");
    await this.assertNothingWaits();
  }

  /** This delivery still has its message: nobody else gets it, and it can be settled. */
  async assertStillLeased(received: Received): Promise<void> {
    await this.assertNothingWaits();
    await this.acknowledge(received);
    await this.assertGone(received.receipt);
  }

  /**
   * Waits for the next message, which is due `delayMs` after `start` (a value of `stopwatch`), and resolves with it and
   * the milliseconds that it took. With a manual clock it also must not come one millisecond earlier.
   */
  async arrival(delayMs: number, start: number): Promise<{ received: Received; afterMs: number }> {
    const { advance } = this.fixture;
    if (advance !== undefined) {
      await this.assertNothingWaits();
      await advance.call(this.fixture, delayMs - 1);
      await this.assertNothingWaits();
      await advance.call(this.fixture, 1);
      return { received: await this.one(), afterMs: delayMs };
    }
    const received = await waitFor(async () => (await this.receive(1))[0], {
      timeoutMs: delayMs + DEADLINE_MS,
      what: `the message that is due after ${delayMs} ms`,
    });
    return { received, afterMs: this.stopwatch() - start };
  }

  /** Milliseconds of real time, for `arrival`. */
  stopwatch(): number {
    return systemClock.monotonic();
  }

  /** Lets time pass until `probe` is true: steps of a manual clock, or real time. */
  async eventually(probe: () => Promise<boolean>, what: string): Promise<void> {
    const { advance } = this.fixture;
    if (advance === undefined) {
      await waitFor(probe, { timeoutMs: DEADLINE_MS, intervalMs: 25, what });
      return;
    }
    for (let passed = 0; passed <= DEADLINE_MS; passed += 50) {
      if (await probe()) return;
      await advance.call(this.fixture, 50);
    }
    assert.fail(`${what} did not come about within ${DEADLINE_MS} ms of the manual clock`);
  }

  /** Makes two times of the store differ. */
  async tick(ms = 5): Promise<void> {
    await (this.fixture.advance?.call(this.fixture, ms) ?? pause(ms));
  }
}

function narrow<T extends Transport>(transport: Transport, guard: (transport: Transport) => transport is T): T {
  assert.ok(guard(transport));
  return transport;
}

const nameOf = (receipt: Receipt): string => `${receipt.queue}/${receipt.id}#${receipt.fence}`;

/** Every receipt got an answer, and it was this one. */
export function assertStatuses(settled: readonly Settled[], receipts: readonly Receipt[], status: Settled["status"]): void {
  assert.deepEqual(
    settled.map((each) => `${nameOf(each.receipt)} ${each.status}`).sort(),
    receipts.map((receipt) => `${nameOf(receipt)} ${status}`).sort(),
  );
}

export const ids = (received: readonly Received[]): string[] => received.map((each) => each.receipt.id);

/** The message of a delivery that could be decoded. */
export function envelopeOf(received: Received): Envelope {
  assert.equal(received.decodeError, undefined, received.decodeError?.message);
  assert.ok(received.envelope !== undefined, "a delivery has an envelope or a decodeError");
  return received.envelope;
}
