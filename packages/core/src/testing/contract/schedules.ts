import assert from "node:assert/strict";
import { isSchedulable, OVERDUE_MS, type ScheduleEntry, type ScheduleState, type ScheduleStore } from "../../schedules/store.ts";
import { messageId } from "../../stamps.ts";
import { CLOCK_TOLERANCE_MS, type Claim, type ContractKit, ids, TYPE, unique } from "./kit.ts";

const HOUR_MS = 3_600_000;
const LONG_MS = 60_000;
const SHORT_MS = 150;

const entryOf = (kit: ContractKit, more: Partial<ScheduleEntry> = {}): ScheduleEntry => {
  const dueAt = more.dueAt === undefined ? Math.floor(kit.now()) + HOUR_MS : more.dueAt;
  return { name: unique("s"), definition: "d1", text: "every hour", type: TYPE, missedAfterMs: 60_000, dueAt, runAt: dueAt, ...more };
};

async function stateOf(store: ScheduleStore, name: string): Promise<ScheduleState> {
  const found = (await store.list()).schedules.find((state) => state.name === name);
  assert.ok(found !== undefined, `the schedule ${name} is listed`);
  return found;
}

/** Stores it and takes its lease. */
async function held(kit: ContractKit, more: Partial<ScheduleEntry> = {}): Promise<ScheduleState> {
  const entry = entryOf(kit, more);
  assert.equal(await kit.schedules.put(entry, null), true);
  const [state] = (await kit.schedules.hold("a", [entry.name], LONG_MS)).held;
  assert.ok(state !== undefined);
  return state;
}

/** What a scheduler does in its transaction. */
const sending =
  (kit: ContractKit, count = { sent: 0 }) =>
  async (client: unknown): Promise<string> => {
    const envelope = kit.envelope();
    const [result] = await kit.transport.send([envelope], client === undefined ? {} : { transaction: client });
    assert.equal(result?.kind, "accepted");
    count.sent += 1;
    return envelope.last(messageId)?.id ?? "";
  };

const otherStore = async (kit: ContractKit): Promise<ScheduleStore> => {
  const other = await kit.other();
  assert.ok(isSchedulable(other));
  return other.schedules;
};

export function scheduleTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) => register(name, body, { ...options, needs: ["schedulable", ...(options.needs ?? [])] });
  storingTests(claim);
  leaseTests(claim);
  advanceTests(claim);
  pauseTests(claim);
}

function storingTests(claim: Claim): void {
  claim("stores a schedule to the millisecond, and tells of it", async (kit) => {
    const entry = entryOf(kit, { dueAt: 1_800_000_000_001, runAt: 1_800_000_000_999 });
    await kit.schedules.put(entry, null);
    const { revision, ...state } = await stateOf(await otherStore(kit), entry.name);
    const history = { lastDueAt: null, lastRunAt: null, lastMessageId: null, runs: 0, missed: 0, lastError: null };
    assert.deepEqual(state, { ...entry, ...history, notBefore: null, pausedAt: null, holder: null, heldUntil: null });
    assert.ok(revision >= 1);
    const { now } = await kit.schedules.list();
    assert.ok(Math.abs(now - kit.now()) < 60_000);
  });

  claim("lets one of many store or replace a schedule", async (kit) => {
    const entry = entryOf(kit);
    const other = await otherStore(kit);
    const stores = Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? kit.schedules : other));
    const made = await Promise.all(stores.map((store) => store.put(entry, null)));
    assert.equal(made.filter(Boolean).length, 1);
    const { revision } = await stateOf(other, entry.name);
    const replaced = await Promise.all(stores.map((store, n) => store.put({ ...entry, definition: `d2-${n}` }, revision)));
    assert.equal(replaced.filter(Boolean).length, 1);
    assert.equal((await stateOf(other, entry.name)).definition, `d2-${replaced.indexOf(true)}`);
  });

  claim("keeps history and pause when a schedule is replaced", async (kit) => {
    const { name, revision, dueAt, runAt } = await held(kit);
    await kit.schedules.advance({ name, revision, dueAt, runAt, ranDueAt: 1_700_000_000_000, missed: 2 }, sending(kit));
    await kit.schedules.setPaused(name, true);
    const before = await stateOf(kit.schedules, name);
    await kit.schedules.put(entryOf(kit, { name, definition: "d2", text: "never", dueAt: null }), before.revision);
    const after = await stateOf(kit.schedules, name);
    assert.deepEqual(after, { ...before, definition: "d2", text: "never", dueAt: null, runAt: null, revision: after.revision });
    assert.ok(after.revision > before.revision);
    await kit.drain(1);
  });

  claim("forgets a schedule that is removed", async (kit) => {
    const { name, revision } = await held(kit);
    assert.equal(await kit.schedules.remove(name), true);
    assert.equal(await kit.schedules.remove(name), false);
    assert.deepEqual((await kit.schedules.hold("a", [name], LONG_MS)).unknown, [name]);
    assert.equal(await kit.schedules.put(entryOf(kit, { name }), revision), false, "what replaces needs something to replace");
    assert.equal(await kit.schedules.put(entryOf(kit, { name }), null), true);
  });
}

function leaseTests(claim: Claim): void {
  claim("gives the lease of a schedule to one holder until it is released", async (kit) => {
    const { name } = await held(kit);
    const other = await otherStore(kit);
    const unknown = unique("s");
    const answer = await other.hold("b", [name, unknown], LONG_MS);
    assert.deepEqual([answer.held, answer.unknown], [[], [unknown]]);
    assert.deepEqual(
      (await kit.schedules.hold("a", [name], LONG_MS)).held.map((state) => state.name),
      [name],
      "its own stays its own",
    );
    await kit.schedules.release("a");
    const [state] = (await other.hold("b", [name], LONG_MS)).held;
    assert.equal(state?.holder, "b");
    assert.deepEqual((await kit.schedules.hold("a", [name], LONG_MS)).held, []);
  });

  claim("passes on the lease of a holder that is silent, and renews it for one that is not", async (kit) => {
    const { name } = entryOf(kit);
    await kit.schedules.put(entryOf(kit, { name }), null);
    await kit.schedules.hold("silent", [name], SHORT_MS);
    const other = await otherStore(kit);
    await kit.eventually(async () => (await other.hold("b", [name], LONG_MS)).held.length === 1, "the end of the lease");
    const [first] = (await other.hold("b", [name], 2 * LONG_MS)).held;
    assert.ok(first?.heldUntil != null && first.heldUntil > kit.now() + LONG_MS, "more than it had");
  });

  claim("lets anybody take a schedule whose run is overdue, unless it is paused", async (kit) => {
    const overdue = await held(kit, { dueAt: kit.now() - OVERDUE_MS - 1_000 });
    const inTime = await held(kit, { dueAt: kit.now() + HOUR_MS });
    const paused = await held(kit, { dueAt: kit.now() - OVERDUE_MS - 1_000 });
    await kit.schedules.setPaused(paused.name, true);
    const { held: taken } = await kit.schedules.hold("b", [overdue.name, inTime.name, paused.name], LONG_MS);
    assert.deepEqual(
      taken.map((state) => [state.name, state.holder]),
      [[overdue.name, "b"]],
    );
  });

  claim("holds nothing when nothing is asked for", async (kit) => {
    const { held: none, unknown } = await kit.schedules.hold("a", [], LONG_MS);
    assert.deepEqual([none, unknown], [[], []]);
    await kit.schedules.release("nobody");
  });
}

function advanceTests(claim: Claim): void {
  claim("stores the message and the next due time together", async (kit) => {
    const before = await held(kit);
    const [dueAt, runAt] = [1_800_000_000_001, 1_800_000_000_002];
    const step = { name: before.name, revision: before.revision, dueAt, runAt, ranDueAt: 1_700_000_000_003, missed: 3 };
    assert.equal(await kit.schedules.advance(step, sending(kit)), true);
    const received = await kit.one();
    const after = await stateOf(kit.schedules, before.name);
    assert.deepEqual([after.dueAt, after.runAt, after.lastDueAt], [dueAt, runAt, 1_700_000_000_003]);
    assert.deepEqual([after.runs, after.missed, after.lastError, after.lastMessageId], [1, 3, null, received.receipt.id]);
    assert.ok(after.lastRunAt !== null && Math.abs(after.lastRunAt - kit.now()) < 60_000);
  });

  claim("sends one message however many run the same due time", async (kit) => {
    const { name, revision, dueAt, runAt } = await held(kit);
    const other = await otherStore(kit);
    const step = { name, revision, dueAt, runAt, ranDueAt: dueAt };
    const done = await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? kit.schedules : other).advance(step, sending(kit))));
    assert.equal(done.filter(Boolean).length, 1);
    const received = await kit.drain(1);
    assert.deepEqual(ids(received), [(await stateOf(kit.schedules, name)).lastMessageId]);
    await kit.assertNothingWaits();
    const count = { sent: 0 };
    assert.equal(await kit.schedules.advance(step, sending(kit, count)), false, "it has passed");
    await kit.assertNothingWaits();
  });

  claim("stores nothing of a run that fails, and throws its error", async (kit) => {
    const before = await held(kit);
    const { name, revision, dueAt, runAt } = before;
    const failure = new RangeError("no payload");
    const failing = async (): Promise<string> => {
      throw failure;
    };
    await assert.rejects(kit.schedules.advance({ name, revision, dueAt, runAt, ranDueAt: dueAt }, failing), (error) => error === failure);
    assert.deepEqual(await stateOf(kit.schedules, name), before);
    assert.equal(await kit.schedules.advance({ name, revision, dueAt, runAt, error: "x".repeat(5_000) }), true);
    const after = await stateOf(kit.schedules, name);
    assert.deepEqual([after.lastError, after.runs], ["x".repeat(1_000), 0]);
    await kit.schedules.advance({ name, revision: after.revision, dueAt: null, runAt: null, ranDueAt: null }, sending(kit));
    const last = await stateOf(kit.schedules, name);
    assert.deepEqual([last.lastError, last.runs, last.dueAt, last.lastDueAt], [null, 1, null, null], "a run beside the due times");
    await kit.drain(1);
  });

  claim("sends nothing in a run that a pause has overtaken", async (kit) => {
    const { name, revision, dueAt, runAt } = await held(kit);
    await kit.schedules.setPaused(name, true);
    assert.equal(await kit.schedules.advance({ name, revision, dueAt, runAt, ranDueAt: dueAt }, sending(kit)), false);
    await kit.assertNothingWaits();
  });
}

function pauseTests(claim: Claim): void {
  claim("remembers since when a schedule is paused, and until when it was", async (kit) => {
    const { name, revision } = await held(kit);
    await kit.tick();
    assert.equal(await kit.schedules.setPaused(name, true), true);
    const paused = await stateOf(kit.schedules, name);
    assert.ok(paused.revision > revision && paused.pausedAt !== null && Math.abs(paused.pausedAt - kit.now()) < 60_000);
    await kit.tick();
    await kit.schedules.setPaused(name, true);
    assert.equal((await stateOf(kit.schedules, name)).pausedAt, paused.pausedAt, "pausing again changes nothing");
    await kit.tick();
    await kit.schedules.setPaused(name, false);
    const resumed = await stateOf(kit.schedules, name);
    assert.equal(resumed.pausedAt, null);
    assert.ok(resumed.notBefore !== null && resumed.notBefore >= paused.pausedAt - CLOCK_TOLERANCE_MS);
    await kit.tick();
    await kit.schedules.setPaused(name, false);
    assert.equal((await stateOf(kit.schedules, name)).notBefore, resumed.notBefore, "resuming again changes nothing");
    assert.equal(await kit.schedules.setPaused(unique("s"), true), false);
  });
}
