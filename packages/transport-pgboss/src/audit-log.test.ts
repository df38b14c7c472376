import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { AuditEntry, MessengerError } from "@symphony/core";
import type { PgBossTransport } from "./index.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, failure, message, receive } from "./testing/messages.ts";

const url = await testDatabase();
const entry: AuditEntry = { actor: { name: "ada", kind: "token" }, action: "remove" };

interface Bed {
  readonly schema: TestSchema;
  readonly transport: PgBossTransport;
  /** Ids of two dead letters. */
  readonly dead: readonly string[];
  readonly failed: () => Promise<number>;
  readonly remove: (ids: readonly string[], then?: () => Promise<void>) => Promise<string>;
}

async function bed(t: TestContext): Promise<Bed> {
  const schema = new TestSchema(url, t);
  const transport = await schema.open();
  await transport.send([message("default"), message("default")]);
  await beat(transport);
  const received = await receive(transport, "default");
  await transport.reject(received.map(({ receipt }) => ({ receipt, deadLetter: failure() })));
  return {
    schema,
    transport,
    dead: received.map(({ receipt }) => receipt.id),
    failed: async () => (await transport.listDeadLetters({}, { limit: 10 })).total,
    async remove(ids, then) {
      const { auditId } = await transport.audited(entry, async () => {
        const { removed } = await transport.removeDeadLetters({ ids }, ids.length);
        await then?.();
        return { value: removed, count: removed.length };
      });
      return auditId;
    },
  };
}

test("takes back what the action did when it fails in the middle, also what it sent and redrove", async (t) => {
  const { transport, dead, failed, remove } = await bed(t);
  const depth = await transport.getQueueDepth();
  const broken = remove(dead.slice(0, 1), async () => {
    await transport.redriveDeadLetters({ ids: dead.slice(1) }, 1);
    await transport.send([message("default")]);
    throw new RangeError("in the middle");
  });
  await assert.rejects(broken, RangeError);
  assert.deepEqual([await failed(), await transport.getQueueDepth()], [2, depth]);
  assert.deepEqual((await transport.listAudit({ limit: 10 })).records, []);
});

test("does nothing that it may not record", async (t) => {
  const { schema, transport, dead, failed, remove } = await bed(t);
  await schema.query("ALTER TABLE $schema.messenger_audit ADD CONSTRAINT closed CHECK (false) NOT VALID");
  await assert.rejects(remove(dead), (error) => (error as MessengerError).code === "AUDIT_FAILED");
  await assert.rejects(
    transport.audited({ ...entry, action: "retry" }, async () => {
      const { redriven } = await transport.redriveDeadLetters({ ids: dead }, 2);
      return { value: redriven, count: redriven.length };
    }),
    (error) => (error as MessengerError).code === "AUDIT_FAILED",
  );
  assert.deepEqual([await failed(), await transport.getQueueDepth()], [2, 0]);
});

test("forgets by the database's clock: the trash after a week, records after three months", async (t) => {
  const { schema, transport, dead, remove } = await bed(t);
  await remove(dead);
  await schema.query("UPDATE $schema.messenger_trash SET at = now() - interval '6 days 23 hours'");
  assert.equal(await transport.tidyAudit(), 0);
  await schema.query("UPDATE $schema.messenger_trash SET at = now() - interval '7 days 1 hour'");
  assert.equal(await transport.tidyAudit(), 2);
  await schema.query("UPDATE $schema.messenger_audit SET at = now() - interval '91 days'");
  assert.equal(await transport.tidyAudit(), 1);
});

test("keeps apart actions that run at the same time, each with its own trash", async (t) => {
  const { transport, dead, remove, failed } = await bed(t);
  const [first, second] = await Promise.all(dead.map((id) => remove([id])));
  assert.equal(await failed(), 0);
  assert.equal((await transport.undoAudited(second ?? "", { ...entry, action: "undo" })).restored, 1);
  assert.deepEqual(
    (await transport.listDeadLetters({}, { limit: 10 })).deadLetters.map(({ id }) => id),
    [dead[1]],
  );
  assert.equal((await transport.undoAudited(first ?? "", { ...entry, action: "undo" })).restored, 1);
});

test("wakes those who wait when the action has committed", async (t) => {
  const { transport } = await bed(t);
  const woken = Promise.withResolvers<void>();
  let committed = false;
  // An earlier one may be of what was sent before.
  const stop = await transport.onWake(() => {
    if (committed) woken.resolve();
  });
  await transport.audited(entry, async () => {
    await transport.send([message("default")]);
    return { value: null, count: 1 };
  });
  committed = true;
  await woken.promise;
  await stop();
});
