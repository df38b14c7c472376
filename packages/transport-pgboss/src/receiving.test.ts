import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Receipt, stamps, TransportError } from "@symphony/core";
import pg from "pg";
import { anyReadyStatement, claimStatement, fewStatement, readyStatement } from "./claim-statement.ts";
import { PLANNER_SETTINGS, type Statement } from "./connection.ts";
import { deadLetter, giveBack } from "./statements.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, bury, message, messages, receive, send, WORKER } from "./testing/messages.ts";
import { adopt, forgetKeys, reap, reapable, untidy } from "./worker-statements.ts";

const url = await testDatabase();
const schema = new TestSchema(url);
const transport = await schema.open({ queues: ["alpha", "beta"] });

interface Plan {
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
}

/** Plans a statement now and keeps the plan, as the transport does; tells how many pages it reads with these arguments. */
async function plan(t: TestContext, sql: Statement, args: string): Promise<() => Promise<number>> {
  const client = new pg.Client({ connectionString: url, options: PLANNER_SETTINGS.map((setting) => `-c ${setting}`).join(" ") });
  await client.connect();
  t.after(() => client.end());
  await client.query(`PREPARE it AS ${sql.text}`);
  return async () => {
    await client.query("BEGIN");
    const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE it${args === "" ? "" : `(${args})`}`);
    await client.query("ROLLBACK");
    const { Plan } = (rows[0] as { "QUERY PLAN": [{ Plan: Plan }] })["QUERY PLAN"][0];
    return Plan["Shared Hit Blocks"] + Plan["Shared Read Blocks"];
  };
}

test("reads as many pages as there are messages to work on, whatever else is there, by plans from when nothing was", async (t) => {
  const [queue, dead] = [await schema.queueOf("beta"), await schema.queueOf("failed")];
  const claim = {
    queues: [queue],
    acknowledgeOnly: false,
    bundles: true,
    rows: true,
    kept: true,
    bounded: false,
    commit: "on",
  } as const;
  const ids = Array.from({ length: 10 }, (_, n) => `00000000-0000-7000-8000-00000000000${n}`);
  const uuids = `'{${ids.join()}}'`;
  const fences = `'{${ids.map(() => 0).join()}}'`;
  const claims = `'{${ids.map((_, i) => (i % 2 === 0 ? "NULL" : i)).join()}}'`;
  const rows = `'${JSON.stringify(ids.map((id, i) => ({ i, id, rc: 0, claim: i, delay: 0, failure: {} })))}'`;
  const none = "'{}', '{}', '{}', '{}', 1, NULL, NULL, false";
  const noReceipts = "'{}', '{}', '{}', '{}', '{}', '{}'";
  const receipts = `${uuids}, ${fences}, ${claims}`;
  const plans = {
    claim: await plan(t, claimStatement(schema.name, claim), `'w', 10, 1, 0, ${none}, ${noReceipts}`),
    "bounded claim": await plan(t, claimStatement(schema.name, { ...claim, bounded: true }), `'w', 10, 1, 100000, ${none}, ${noReceipts}`),
    "claim of a few": await plan(t, fewStatement(schema.name, queue, { isAsync: false }), "'w', 10, 1"),
    "claim of a few where one listens": await plan(t, fewStatement(schema.name, queue, { isAsync: true }), "'w', 10, 1"),
    "acknowledge and claim": await plan(t, claimStatement(schema.name, claim), `'w', 10, 1, 0, ${none}, ${receipts}, ${receipts}`),
    "give back": await plan(t, giveBack(schema.name, queue, "on"), rows),
    "dead-letter": await plan(t, deadLetter(schema.name, queue, dead), rows),
    adopt: await plan(t, adopt(schema.name, queue), `'w', ${receipts}`),
    "look for ready ones": await plan(t, readyStatement(schema.name), "'{beta}'"),
    "look for any": await plan(t, anyReadyStatement(schema.name, [queue]), ""),
    "look for what to tidy up": await plan(t, untidy(schema.name, [queue]), ""),
    "forget keys": await plan(t, forgetKeys(schema.name, queue), ""),
    "look for dead workers": await plan(t, reapable(schema.name, dead), "15000"),
    reap: await plan(t, reap(schema.name, dead), "15000"),
  };
  for (const pages of Object.values(plans)) await pages();
  const later = { delay: stamps.delay({ delayMs: 3_600_000 }), high: stamps.priority({ priority: 10 }) };
  await send(transport, ...messages("beta", 8_000, later.delay, later.high), ...messages("beta", 8_000, later.delay));
  await send(transport, ...messages("beta", 8_000));
  for (const [what, pages] of Object.entries(plans)) {
    const read = await pages();
    assert.ok(read < 400, `${what} of 10 reads ${read} pages with 24,000 messages`);
  }
  assert.equal((await receive(transport, "beta", 10)).length, 10);
  await schema.clear();
});

test("reads no more for what was claimed before, although an open transaction keeps that from being removed", async (t) => {
  const claim = {
    queues: [await schema.queueOf("beta")],
    acknowledgeOnly: false,
    bundles: false,
    rows: false,
    kept: false,
    bounded: false,
  } as const;
  await send(transport, ...messages("beta", 8_000));
  const pinned = await schema.admin.connect();
  await pinned.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
  for (let n = 0; n < 7; n++) assert.equal((await receive(transport, "beta", 1_000)).length, 1_000);
  const [row] = await schema.query<{ us: string }>("SELECT (extract(epoch FROM min(created_on)) * 1000000)::bigint AS us FROM $schema.job");
  const pages = async (heads: string): Promise<number> =>
    (await plan(t, claimStatement(schema.name, { ...claim, commit: "on" }), `'w', 10, 1, 0, '{}', '{}', '{}', '{}', ${heads}, false`))();
  const [whole, behind] = [await pages("1, NULL, NULL"), await pages(`1, 5, ${row?.us}`)];
  await pinned.query("ROLLBACK");
  pinned.release();
  assert.ok(behind < 150, `${behind} pages, ${whole} from the beginning`);
  assert.ok(whole > 2 * behind, `${whole} pages from the beginning: nothing is in the way, and this shows nothing`);
  await schema.clear();
});

test("keeps messages that wait for a retry out of the way as well", async () => {
  await send(transport, ...messages("alpha", 20));
  const held = await receive(transport, "alpha");
  await transport.reject(held.map(({ receipt }) => ({ receipt, retryInMs: 3_600_000 })));
  const rows = await schema.query<{ same: boolean }>(
    "SELECT bool_and(created_on = start_after) AS same FROM $schema.job WHERE name = 'alpha'",
  );
  assert.equal(rows[0]?.same, true, "they lie where they become due");
  await schema.clear();
});

test("seeks what was notified while there was nothing else in its queue alone, by a claim that waits for no disk", async () => {
  const table = (await schema.queueOf("beta")).table;
  await schema.query("CREATE TABLE $schema.claims (what text)");
  await schema.query(
    `CREATE FUNCTION $schema.claims() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN INSERT INTO $schema.claims VALUES (TG_OP || ' ' || current_setting('synchronous_commit')); RETURN NULL; END $$`,
  );
  await schema.query(`CREATE TRIGGER claims AFTER UPDATE OR DELETE ON $schema.${table} FOR EACH ROW EXECUTE FUNCTION $schema.claims()`);
  const idle = await schema.open({ queues: ["alpha", "beta"] });
  let acknowledge: readonly Receipt[] = [];
  /** What came from where, and what was done to rows of beta for it. */
  const next = async (notified?: string, max = 100): Promise<{ from: string; claims: string }> => {
    const hint = notified === undefined ? {} : { notified: [notified] };
    const received = await idle.receive(max, { workerId: WORKER, queues: ["alpha", "beta"], acknowledge, ...hint });
    acknowledge = received.map(({ receipt }) => receipt);
    const seen = await schema.query<{ what: string }>("WITH seen AS (DELETE FROM $schema.claims RETURNING what) SELECT what FROM seen");
    return { from: received.map(({ queue }) => queue).join(), claims: seen.map(({ what }) => what).join() };
  };
  await send(idle, message("beta"));
  assert.deepEqual(await next("beta"), { from: "beta", claims: "DELETE on" }, "whether there is nothing else is not known yet");
  assert.deepEqual(await next(), { from: "", claims: "" });
  await send(idle, message("alpha"), message("beta"));
  assert.deepEqual(await next("beta"), { from: "beta", claims: "UPDATE off" });
  assert.deepEqual(await next("beta"), { from: "alpha", claims: "DELETE on" }, "an acknowledgement waits for the disk");
  assert.deepEqual(await next("beta"), { from: "", claims: "" });
  assert.deepEqual(await next("beta"), { from: "", claims: "" }, "in vain");
  await send(idle, message("alpha"));
  assert.equal((await next("beta")).from, "alpha", "who has looked there in vain looks everywhere");
  await next();
  await send(idle, ...messages("beta", 30), message("alpha"));
  const burst = (await next("beta", 20)).from.split(",");
  assert.equal(burst.length, 20);
  assert.ok(burst.indexOf("alpha") > 0, "the rest is taken in the order of queues");
  await next();
  await schema.query(`DROP TRIGGER claims ON $schema.${table}`);
  await schema.clear();
});

test("acknowledges and claims in one transaction of one statement", async () => {
  const [row] = await schema.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = 'alpha'");
  await schema.query("CREATE TABLE $schema.seen (what text, transaction text)");
  await schema.query(
    `CREATE FUNCTION $schema.see() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN INSERT INTO $schema.seen VALUES (TG_TABLE_NAME || ' ' || TG_OP, pg_current_xact_id()::text || ' ' || statement_timestamp()::text); RETURN NULL; END $$`,
  );
  const tables = [`${row?.table}`, "messenger_bundle"];
  for (const table of tables)
    await schema.query(
      `CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON $schema.${table} FOR EACH ROW EXECUTE FUNCTION $schema.see()`,
    );
  await send(transport, ...messages("alpha", 4));
  const first = await receive(transport, "alpha", 2);
  await schema.query("TRUNCATE $schema.seen");
  await transport.receive(2, { workerId: WORKER, queues: ["alpha"], acknowledge: first.map((each) => each.receipt) });
  const seen = await schema.query<{ what: string; transaction: string }>("SELECT what, transaction FROM $schema.seen");
  const expected = [...new Array(2).fill(`${row?.table} DELETE`), "messenger_bundle DELETE", "messenger_bundle INSERT"];
  assert.deepEqual(seen.map((each) => each.what).sort(), expected.sort());
  assert.equal(new Set(seen.map((each) => each.transaction)).size, 1);
  for (const table of tables) await schema.query(`DROP TRIGGER see ON $schema.${table}`);
  assert.equal((await transport.getCounts()).find(({ queue }) => queue === "alpha")?.active, 2);
  await schema.clear();
});

test("does not deliver dead letters as messages", async () => {
  const refused = (error: unknown) => error instanceof TransportError && error.code === "QUEUE_NOT_FOUND";
  await assert.rejects(receive(transport, "failed"), refused);
  await assert.rejects(receive(transport, "nowhere"), refused);
});

test("delivers rows that somebody damaged, whatever they hold", async () => {
  const damage = ["NULL", "'null'", `'"text"'`, "'[]'", `'{"v": 1}'`, `'{"tries": {"interruptions": "many"}}'`, `'{"tries": 7}'`];
  for (const data of damage) {
    await schema.query(`INSERT INTO $schema.job (name, data, policy, retry_limit) VALUES ('alpha', ${data}, 'standard', 1000000)`);
  }
  const received = await receive(transport, "alpha");
  assert.equal(received.length, damage.length);
  assert.ok(received.every((each) => each.decodeError !== undefined && each.envelope === undefined));
  // Nothing that can be done to a message may fail on one of them.
  const patch = { tries: { failures: 1, crashes: 0, interruptions: 0 } };
  await transport.reject(received.map(({ receipt }) => ({ receipt, release: true, patch })));
  await receive(transport, "alpha");
  assert.equal((await transport.retire(WORKER)).messages, damage.length);
  for (const each of await receive(transport, "alpha")) await bury(transport, each);
  const { total, deadLetters } = await transport.listDeadLetters({ queue: "alpha" }, { limit: 100 });
  assert.equal(total, damage.length);
  assert.ok(deadLetters.every((each) => each.type === null));
  assert.equal((await transport.redriveDeadLetters({ queue: "alpha" }, 100)).redriven.length, damage.length);
  await beat(transport);
  await transport.acknowledge((await receive(transport, "alpha")).map((each) => each.receipt));
  assert.equal((await schema.query("SELECT 1 FROM $schema.job")).length, 0);
});

test("answers receipts that cannot be its own, and refuses numbers out of range", async () => {
  const forged = [
    { id: "not a uuid", queue: "alpha", fence: 0 },
    { id: "00000000-0000-7000-8000-000000000000", queue: "nowhere", fence: 0 },
    { id: "00000000-0000-7000-8000-000000000000", queue: "alpha", fence: 2 ** 40 },
  ];
  assert.ok((await transport.acknowledge(forged)).every((each) => each.status === "lease_lost"));
  assert.ok((await transport.reject(forged.map((receipt) => ({ receipt, release: true })))).every((each) => each.status === "lease_lost"));
  await assert.rejects(transport.receive(10_001, { workerId: WORKER }), /from 0 to 10000/);
  await send(transport, message("alpha"));
  assert.deepEqual(await transport.receive(0, { workerId: WORKER, queues: ["alpha"] }), []);
});

test("of two claims under way, one more that is beside another takes nothing, and others are told", async (t) => {
  const needs = {
    queues: [await schema.queueOf("beta")],
    acknowledgeOnly: false,
    bundles: false,
    rows: false,
    kept: false,
    bounded: false,
  } as const;
  const sql = claimStatement(schema.name, { ...needs, commit: "on" });
  await send(transport, ...messages("beta", 40));
  const [first] = await receive(transport, "beta", 1);
  const claim = async (number: number): Promise<pg.PoolClient> => {
    const client = await schema.admin.connect();
    t.after(async () => {
      await client.query("ROLLBACK");
      client.release();
    });
    await client.query("BEGIN");
    await client.query(sql.text, ["other", 10, number, 0, [], [], [], [], 1, null, null, false]);
    return client;
  };
  const one = await claim(1);
  const told: string[] = [];
  const beside = async (isBeside: boolean, acknowledge: readonly Receipt[] = []) => {
    const settled: string[] = [];
    const options = { workerId: WORKER, queues: ["beta"], acknowledge, isBeside };
    const got = await transport.receive(5, {
      ...options,
      onBusy: () => told.push(isBeside ? "beside" : "alone"),
      onSettled: (all) => settled.push(...all.map(({ status }) => status)),
    });
    return { got: got.length, settled };
  };
  assert.deepEqual(await beside(true), { got: 5, settled: [] }, "there is place for one more");
  const two = await claim(2);
  assert.deepEqual(await beside(true, [first?.receipt as Receipt]), { got: 0, settled: ["settled"] }, "what rides with it is done");
  assert.deepEqual(told.splice(0), ["beside"]);
  assert.deepEqual(await beside(false), { got: 5, settled: [] });
  assert.deepEqual(told.splice(0), ["alone"]);
  await Promise.all([one, two].map((client) => client.query("ROLLBACK")));
  assert.deepEqual(await beside(true), { got: 5, settled: [] });
  assert.deepEqual(told, []);
  await schema.clear();
});
