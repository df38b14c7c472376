import assert from "node:assert/strict";
import { isAuditable } from "../../audit.ts";
import { isRedrivable, type Redrive, type RedriveRequest, type RedriveStep } from "../../redrive/redrives.ts";
import { priority, queueName } from "../../stamps.ts";
import type { Failure, Received } from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { type Claim, type ContractKit, ids } from "./kit.ts";

const ONE = "1".repeat(16);
const TWO = "2".repeat(16);
const LEASE = { holder: "contract-holder", leaseMs: 60_000 };
const OTHER = { holder: "another-holder", leaseMs: 60_000 };

/** Dead-letters messages one after another; resolves with their ids, oldest first. */
async function bury(kit: ContractKit, failures: readonly Partial<Failure>[]): Promise<string[]> {
  await kit.send(
    ...failures.map((_, n) => testEnvelope("contract.redrive", { n }, [queueName({ queue: kit.queue }), priority({ priority: 7 })])),
  );
  const received = await kit.drain(failures.length);
  for (const [n, each] of received.entries()) {
    await kit.deadLetter(each, failures[n]);
    await kit.tick();
  }
  return ids(received);
}

const alike = (count: number, fingerprint = ONE): Partial<Failure>[] => Array.from({ length: count }, () => ({ fingerprint }));

const create = (kit: ContractKit, request: Partial<RedriveRequest> = {}): Promise<Redrive> =>
  kit.redrives.create({ action: "retry", filter: {}, requestedBy: "contract", ...request });

async function step(kit: ContractKit, id: string, max: number, lease = LEASE): Promise<RedriveStep> {
  const done = await kit.redrives.advance(id, lease, max);
  assert.ok(done !== undefined, "the redrive is there");
  return done;
}

/** Makes a redrive and takes its lease. */
async function held(kit: ContractKit, request: Partial<RedriveRequest> = {}): Promise<Redrive> {
  const { id } = await create(kit, request);
  const redrive = await kit.redrives.hold(LEASE, id);
  assert.equal(redrive?.id, id);
  return redrive;
}

const deadIds = async (kit: ContractKit): Promise<string[]> =>
  (await kit.listable.listDeadLetters({}, { limit: 100 })).deadLetters.map((letter) => letter.id).reverse();

export function redriveTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) =>
    register(name, body, { ...options, needs: ["listable", "redrivable", ...(options.needs ?? [])] });

  claim("sends back what fits the filter, oldest first, in steps, each once, and says how far it is", async (kit) => {
    const [a, b, c, d, e] = (await bury(kit, [...alike(2), ...alike(1, TWO), ...alike(2)])) as [string, string, string, string, string];
    const made = await held(kit, { filter: { fingerprint: ONE }, rate: 12.5 });
    assert.deepEqual(
      [made.state, made.matching, made.done, made.rate, made.canary, made.requestedBy],
      ["running", 4, 0, 12.5, null, "contract"],
    );
    const first = await step(kit, made.id, 3);
    assert.deepEqual([first.held, first.taken, first.waiting, first.redrive.state, first.redrive.done], [true, 3, false, "running", 3]);
    assert.deepEqual(await deadIds(kit), [c, e]);
    const second = await step(kit, made.id, 3);
    assert.deepEqual([second.taken, second.redrive.state, second.redrive.done, second.redrive.conflicts], [1, "done", 4, 0]);
    assert.ok(second.redrive.finishedAt !== null);
    assert.deepEqual(await kit.redrives.get(made.id), second.redrive);
    const again = await step(kit, made.id, 3);
    assert.deepEqual([again.taken, again.redrive.done], [0, 4]);
    const back = await kit.drain(4);
    assert.deepEqual(ids(back), [a, b, d, e]);
    assert.deepEqual(
      back.map((each) => each.priority),
      [7, 7, 7, 7],
    );
    assert.deepEqual(await deadIds(kit), [c]);
  });

  claim("does not send again what fails again meanwhile", async (kit) => {
    await bury(kit, alike(3));
    const { id } = await held(kit);
    await kit.tick();
    await step(kit, id, 2);
    for (const received of await kit.drain(2)) await kit.deadLetter(received, { fingerprint: ONE });
    const last = await step(kit, id, 10);
    assert.deepEqual([last.taken, last.redrive.state, last.redrive.done], [1, "done", 3]);
    assert.equal((await deadIds(kit)).length, 2);
  });

  claim("changes nothing in a dry run, and tells how many there are", async (kit) => {
    await bury(kit, alike(3));
    const made = await create(kit, { dryRun: true, limit: 2 });
    assert.deepEqual([made.state, made.dryRun, made.matching, made.done], ["done", true, 2, 0]);
    assert.equal(await kit.redrives.hold(LEASE), undefined);
    assert.equal((await deadIds(kit)).length, 3);
  });

  claim("takes no more than its limit", async (kit) => {
    const all = await bury(kit, alike(4));
    const { id } = await held(kit, { limit: 3 });
    await step(kit, id, 2);
    await step(kit, id, 2);
    assert.equal((await step(kit, id, 2)).redrive.state, "done");
    assert.deepEqual(await deadIds(kit), all.slice(3));
    await kit.drain(3);
  });

  claim("finds dead letters by text on its way", async (kit) => {
    const error = (message: string) => ({ error: { name: "Error", message } });
    const all = await bury(kit, [error("no"), error("a TIMEOUT"), error("no"), error("timeout again"), error("no")]);
    const { id } = await held(kit, { filter: { search: "timeout" } });
    assert.deepEqual([(await step(kit, id, 1)).taken, (await step(kit, id, 1)).taken], [1, 1]);
    assert.equal((await step(kit, id, 1)).redrive.state, "done");
    assert.deepEqual(ids(await kit.drain(2)), [all[1], all[3]]);
  });

  claim(
    "removes as a job, in an action that can be undone as a whole",
    async (kit) => {
      const all = await bury(kit, alike(4));
      const { transport } = kit;
      assert.ok(isRedrivable(transport) && isAuditable(transport));
      const { redrives } = transport;
      const request: RedriveRequest = { action: "remove", filter: {}, limit: 3, requestedBy: "contract" };
      const { value, auditId } = await transport.audited({ actor: { name: "c", kind: "cli" }, action: "remove" }, async () => {
        const made = await redrives.create(request);
        return { value: made, count: made.matching };
      });
      await redrives.hold(LEASE, value.id);
      await step(kit, value.id, 2);
      const last = await step(kit, value.id, 2);
      assert.deepEqual([last.redrive.done, await deadIds(kit)], [3, all.slice(3)]);
      await kit.assertNothingWaits();
      const undone = await transport.undoAudited(auditId, { actor: { name: "c", kind: "cli" }, action: "undo" });
      assert.deepEqual([undone.restored, await deadIds(kit)], [3, all]);
    },
    { needs: ["auditable"] },
  );

  leaseTests(claim);
  canaryTests(claim);
}

function leaseTests(claim: Claim): void {
  claim("does nothing while it is paused, goes on where it was, and ends when it is cancelled", async (kit) => {
    const all = await bury(kit, alike(5));
    const { id } = await held(kit);
    await step(kit, id, 2);
    assert.equal((await kit.redrives.control(id, "pause"))?.state, "paused");
    const paused = await kit.redrives.advance(id, LEASE, 2);
    assert.deepEqual([paused?.taken, paused?.redrive.state], [0, "paused"]);
    assert.equal(await kit.redrives.hold(LEASE), undefined, "nobody carries it out");
    assert.equal((await kit.redrives.control(id, "resume"))?.state, "running");
    assert.equal((await kit.redrives.hold(OTHER))?.id, id);
    assert.equal((await step(kit, id, 1, OTHER)).redrive.done, 3);
    assert.equal((await kit.redrives.control(id, "cancel"))?.state, "cancelled");
    assert.equal((await kit.redrives.control(id, "resume"))?.state, "cancelled", "it is over");
    assert.equal(await kit.redrives.hold(OTHER), undefined);
    assert.deepEqual(await deadIds(kit), all.slice(3));
    assert.equal(await kit.redrives.control("00000000-0000-7000-8000-000000000000", "pause"), undefined);
    assert.equal(await kit.redrives.get("no id"), undefined);
  });

  claim("is carried out by the holder of its lease alone, and by another when that one lets go or does not come back", async (kit) => {
    await bury(kit, alike(6));
    const { id } = await held(kit);
    assert.equal(await kit.redrives.hold(OTHER), undefined, "it is held");
    const refused = await step(kit, id, 1, OTHER);
    assert.deepEqual([refused.held, refused.taken, refused.redrive.done], [false, 0, 0]);
    await step(kit, id, 2);
    await kit.redrives.letGo(id, "nobody");
    assert.equal(await kit.redrives.hold(OTHER), undefined, "it was not his to let go");
    await kit.redrives.letGo(id, LEASE.holder);
    assert.equal((await kit.redrives.hold({ ...OTHER, leaseMs: 300 }))?.done, 2);
    assert.equal((await step(kit, id, 2, { ...OTHER, leaseMs: 300 })).redrive.done, 4);
    await kit.eventually(async () => (await kit.redrives.hold(LEASE, id)) !== undefined, "the lease of who does not come back");
    const late = await step(kit, id, 2, OTHER);
    assert.deepEqual([late.held, late.taken], [false, 0]);
    await step(kit, id, 2);
    assert.equal((await step(kit, id, 2)).redrive.done, 6);
    await kit.drain(6);
  });

  claim("sends each back once when steps run at the same time", async (kit) => {
    const all = await bury(kit, alike(12));
    const { id } = await held(kit);
    const steps = await Promise.all(Array.from({ length: 6 }, () => kit.redrives.advance(id, LEASE, 3)));
    assert.equal(
      steps.reduce((sum, each) => sum + (each?.taken ?? 0), 0),
      12,
    );
    assert.equal((await kit.redrives.get(id))?.done, 12);
    assert.deepEqual(ids(await kit.drain(12)).sort(), all.sort());
  });

  claim("lists redrives newest first, by pages", async (kit) => {
    const made: Redrive[] = [];
    for (let n = 0; n < 3; n++) made.unshift(await create(kit, { dryRun: true }));
    const first = await kit.redrives.list({ limit: 2 });
    assert.deepEqual(first.redrives, made.slice(0, 2));
    assert.ok(first.nextCursor !== null);
    assert.deepEqual(await kit.redrives.list({ limit: 2, cursor: first.nextCursor }), { redrives: made.slice(2), nextCursor: null });
  });
}

/** Sends the canaries of a redrive and receives them. */
async function sent(kit: ContractKit, id: string, canaries: number): Promise<readonly Received[]> {
  const first = await step(kit, id, 100);
  assert.deepEqual([first.taken, first.redrive.canaryState], [canaries, "waiting"]);
  const waiting = await step(kit, id, 100);
  assert.deepEqual([waiting.taken, waiting.waiting, waiting.redrive.state], [0, true, "running"]);
  const received = await kit.drain(canaries);
  assert.equal((await step(kit, id, 100)).waiting, true, "they are in flight");
  return received;
}

function canaryTests(claim: Claim): void {
  claim("goes on when the messages that it sent first are handled", async (kit) => {
    await bury(kit, alike(5));
    const { id } = await held(kit, { canary: 2 });
    await kit.tick();
    await kit.acknowledge(...(await sent(kit, id, 2)));
    const rest = await step(kit, id, 100);
    assert.deepEqual([rest.taken, rest.redrive.state, rest.redrive.canaryState, rest.redrive.done], [3, "done", "passed", 5]);
    await kit.drain(3);
  });

  claim("stops when one of the first fails again, and sends new ones when it is resumed", async (kit) => {
    const all = await bury(kit, alike(6));
    const { id } = await held(kit, { canary: 2 });
    await kit.tick();
    const [good, bad] = (await sent(kit, id, 2)) as [Received, Received];
    await kit.acknowledge(good);
    await kit.deadLetter(bad, { fingerprint: ONE });
    const stopped = await step(kit, id, 100);
    assert.deepEqual([stopped.taken, stopped.redrive.state, stopped.redrive.done], [0, "stopped", 2]);
    assert.match(stopped.redrive.reason ?? "", /failed again/);
    assert.equal(await kit.redrives.hold(LEASE), undefined);
    assert.equal((await deadIds(kit)).length, 5);
    const resumed = await kit.redrives.control(id, "resume");
    assert.deepEqual([resumed?.state, resumed?.reason, resumed?.canaryState], ["running", null, "waiting"]);
    await kit.redrives.hold(LEASE, id);
    const again = await sent(kit, id, 2);
    assert.deepEqual(ids(again), all.slice(2, 4));
    await kit.acknowledge(...again);
    assert.equal((await step(kit, id, 100)).redrive.state, "done");
    await kit.drain(2);
  });

  claim("stops later too, when any message fails with a fingerprint of the first", async (kit) => {
    await bury(kit, alike(6));
    const { id } = await held(kit, { canary: 1 });
    await kit.tick();
    await kit.acknowledge(...(await sent(kit, id, 1)));
    assert.deepEqual([(await step(kit, id, 2)).taken, (await kit.redrives.get(id))?.canaryState], [2, "passed"]);
    await kit.tick();
    const [received] = await kit.drain(2);
    await kit.deadLetter(received as Received, { fingerprint: TWO });
    assert.equal((await step(kit, id, 0)).redrive.state, "running", "another bug is none of its business");
    await kit.send(kit.envelope());
    await kit.deadLetter(await kit.one(), { fingerprint: ONE });
    const stopped = await step(kit, id, 2);
    assert.deepEqual([stopped.taken, stopped.redrive.state, stopped.redrive.done], [0, "stopped", 3]);
  });
}
