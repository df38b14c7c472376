import assert from "node:assert/strict";
import { type Actor, type AuditEntry, type AuditRecord, TRASH_DAYS } from "../../audit.ts";
import type { MessengerError } from "../../errors.ts";
import { idempotencyKey } from "../../stamps.ts";
import { type Claim, type ContractKit, ids } from "./kit.ts";

const ACTOR: Actor = { name: "ada", kind: "token", tokenId: "0a1b2c3d", address: "127.0.0.1" };
const entry = (more: Partial<AuditEntry> = {}): AuditEntry => ({ actor: ACTOR, action: "test", ...more });

const codeOf = (error: unknown): string => (error as MessengerError).code;

const records = async (kit: ContractKit): Promise<readonly AuditRecord[]> => (await kit.auditable.listAudit({ limit: 200 })).records;
const letters = async (kit: ContractKit) => (await kit.listable.listDeadLetters({}, { limit: 100 })).deadLetters;

/** Dead letters of different content, their ids. */
async function bury(kit: ContractKit, count: number): Promise<string[]> {
  await kit.send(...kit.envelopes(count));
  const received = await kit.drain(count);
  for (const each of received) await kit.deadLetter(each, { attempts: 3 });
  return ids(received);
}

/** Removes dead letters by name; resolves with the record's id. */
async function remove(kit: ContractKit, names: readonly string[], more: Partial<AuditEntry> = {}): Promise<string> {
  const { auditId } = await kit.auditable.audited(entry({ action: "remove", ...more }), async () => {
    const { removed } = await kit.listable.removeDeadLetters({ ids: names }, names.length);
    return { value: removed, count: removed.length };
  });
  return auditId;
}

export function auditTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) =>
    register(name, body, { ...options, needs: ["auditable", "listable", ...(options.needs ?? [])] });

  claim("remembers who did what to how many, newest first", async (kit) => {
    const [one = "", two = ""] = await bury(kit, 2);
    const parameters = { queue: kit.queue, since: "2026-01-01T00:00:00Z", nested: { ü: [1, null] } };
    const first = await remove(kit, [one, two], { parameters, requestId: "request-1" });
    const { value, auditId } = await kit.auditable.audited(entry(), async () => ({ value: "the value", count: 0, target: "target" }));
    assert.equal(value, "the value");
    const [newest, oldest, ...others] = await records(kit);
    assert.deepEqual((await kit.auditable.listAudit({ limit: 10, id: first })).records, [oldest]);
    assert.deepEqual((await kit.auditable.listAudit({ limit: 10, id: "no-such-id" })).records, []);
    assert.ok(newest !== undefined && oldest !== undefined && others.length === 0);
    const { at, ...rest } = oldest;
    const expected = {
      id: first,
      actor: ACTOR,
      action: "remove",
      target: null,
      parameters,
      requestId: "request-1",
      count: 2,
      outcome: "done",
    };
    assert.deepEqual(rest, { ...expected, undoable: true });
    assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    assert.ok(Math.abs(Date.parse(at) - kit.now()) < 60_000, `recorded now, not at ${at}`);
    assert.deepEqual([newest.id, newest.target, newest.parameters, newest.undoable], [auditId, "target", {}, false]);
  });

  claim("remembers what was refused", async (kit) => {
    await kit.auditable.recordRefusal(entry({ action: "purge", target: kit.queue }), "FORBIDDEN");
    const [record] = await records(kit);
    assert.deepEqual([record?.action, record?.target, record?.count, record?.outcome], ["purge", kit.queue, 0, "FORBIDDEN"]);
    assert.equal(record?.undoable, false);
  });

  claim("passes on what the action throws, and records nothing", async (kit) => {
    const failing = kit.auditable.audited(entry(), async () => {
      throw new RangeError("the action failed");
    });
    await assert.rejects(failing, RangeError);
    assert.deepEqual(await records(kit), []);
  });

  claim("pages through the records without a gap or a repetition", async (kit) => {
    for (let n = 0; n < 5; n += 1) await kit.auditable.recordRefusal(entry({ target: String(n) }), "CONFLICT");
    const seen: (string | null)[] = [];
    let cursor: string | null = null;
    do {
      const page = await kit.auditable.listAudit({ limit: 2, ...(cursor === null ? {} : { cursor }) });
      seen.push(...page.records.map(({ target }) => target));
      cursor = page.nextCursor;
    } while (cursor !== null);
    assert.deepEqual(seen, ["4", "3", "2", "1", "0"]);
  });

  claim("delivers after the commit what the action sent, and not what others send into it", async (kit) => {
    const gate = Promise.withResolvers<void>();
    const inside = Promise.withResolvers<void>();
    const acting = kit.auditable.audited(entry(), async () => {
      const [result] = await kit.transport.send([kit.envelope({ from: "inside" })]);
      inside.resolve();
      await gate.promise;
      return { value: result?.kind, count: 1 };
    });
    await inside.promise;
    const [outside] = await kit.send(kit.envelope({ from: "outside" }));
    gate.resolve();
    assert.equal((await acting).value, "accepted");
    const received = await kit.drain(2);
    assert.ok(ids(received).includes(outside ?? ""));
  });

  undoTests(claim);
}

function undoTests(claim: Claim): void {
  claim("brings back what an action removed, as it was, and remembers that too", async (kit) => {
    const all = await bury(kit, 4);
    const before = await letters(kit);
    const removal = await remove(kit, all.slice(0, 3));
    assert.equal((await letters(kit)).length, 1);
    const undone = await kit.auditable.undoAudited(removal, entry({ action: "undo", target: removal }));
    assert.deepEqual([undone.restored, undone.conflicts], [3, 0]);
    assert.deepEqual(await letters(kit), before);
    const [record, removed] = await records(kit);
    assert.deepEqual([record?.id, record?.action, record?.target, record?.count], [undone.auditId, "undo", removal, 3]);
    assert.equal(removed?.undoable, false);
    const { redriven } = await kit.listable.redriveDeadLetters({ ids: all }, 10);
    assert.equal(redriven.length, 4, "they are dead letters like any other");
    await kit.drain(4);
  });

  claim("brings back a removed dead letter with its idempotency key", async (kit) => {
    const keyed = kit.envelope({}, idempotencyKey({ key: "k" }));
    const [id] = (await kit.send(keyed)) as [string];
    await kit.deadLetter(await kit.one());
    const removal = await remove(kit, [id]);
    const { restored, conflicts } = await kit.auditable.undoAudited(removal, entry());
    assert.deepEqual([restored, conflicts], [1, 0]);
    assert.deepEqual(await kit.transport.send([keyed]), [{ kind: "duplicate", id, queue: kit.queue }]);
    assert.deepEqual(await kit.listable.redriveDeadLetters({ ids: [id] }, 1), { redriven: [id], conflicts: [] });
    assert.deepEqual(ids(await kit.drain(1)), [id]);
  });

  claim("brings back nothing twice, and nothing that no action removed", async (kit) => {
    const all = await bury(kit, 1);
    const removal = await remove(kit, all);
    await kit.auditable.undoAudited(removal, entry());
    const again = kit.auditable.undoAudited(removal, entry());
    await assert.rejects(again, (error) => codeOf(error) === "UNDO_IMPOSSIBLE");
    for (const id of ["0190b2c4-0000-7000-8000-000000000000", "nonsense"])
      await assert.rejects(kit.auditable.undoAudited(id, entry()), (error) => codeOf(error) === "AUDIT_NOT_FOUND");
    assert.equal((await letters(kit)).length, 1);
  });

  claim("leaves what is there again meanwhile, and keeps its copy", async (kit) => {
    const envelopes = kit.envelopes(2);
    const burying = async (some: typeof envelopes): Promise<string[]> => {
      await kit.send(...some);
      const received = await kit.drain(some.length);
      for (const each of received) await kit.deadLetter(each);
      return ids(received);
    };
    const all = await burying(envelopes);
    const removal = await remove(kit, all);
    await burying(envelopes.slice(0, 1));
    const { restored, conflicts } = await kit.auditable.undoAudited(removal, entry());
    assert.deepEqual([restored, conflicts], [1, 1]);
    assert.deepEqual((await letters(kit)).map(({ id }) => id).sort(), [...all].sort());
    assert.equal((await records(kit)).find(({ id }) => id === removal)?.undoable, true);
  });

  claim("removes for good what no action removes", async (kit) => {
    const all = await bury(kit, 1);
    await kit.listable.removeDeadLetters({ ids: all }, 1);
    assert.deepEqual(await records(kit), []);
    assert.equal(await kit.auditable.tidyAudit(), 0);
  });

  claim("empties the trash after its days, and keeps the record", async (kit) => {
    const { advance } = kit.fixture;
    const removal = await remove(kit, await bury(kit, 2));
    assert.equal(await kit.auditable.tidyAudit(), 0, "nothing is old yet");
    if (advance === undefined) return;
    await advance.call(kit.fixture, (TRASH_DAYS * 24 + 1) * 3_600_000);
    assert.equal(await kit.auditable.tidyAudit(), 2);
    assert.deepEqual(
      (await records(kit)).map(({ id, undoable }) => [id, undoable]),
      [[removal, false]],
    );
    await assert.rejects(kit.auditable.undoAudited(removal, entry()), (error) => codeOf(error) === "UNDO_IMPOSSIBLE");
  });
}
