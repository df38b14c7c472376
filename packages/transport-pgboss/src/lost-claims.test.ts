import assert from "node:assert/strict";
import { test } from "node:test";
import { createJsonSerializer, type Receipt, type Received, silentLogger, systemRuntime, TransportError } from "@symphony/core";
import { createManualRuntime, waitFor } from "@symphony/core/testing";
import { Bundles } from "./bundles.ts";
import { Database, type Row } from "./connection.ts";
import { FastLane } from "./fast-lane.ts";
import type { Claimed, Lane } from "./lane.ts";
import { LostClaims } from "./lost-claims.ts";
import { parsePgBossOptions } from "./options.ts";
import type { QueueInfo } from "./queues.ts";
import { PgBossReceiver } from "./receiver.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { messages, receive, send, WORKER } from "./testing/messages.ts";

const url = await testDatabase();
const schema = new TestSchema(url);

/** Answers claims, and nothing else while it is cut. */
class CutDatabase extends Database {
  isCut = false;

  override run(...[sql, values, doing, on]: Parameters<Database["run"]>): Promise<Row[]> {
    if (this.isCut && doing !== "receiving messages") return Promise.reject(new TransportError("TRANSPORT_UNAVAILABLE", "cut"));
    return super.run(sql, values, doing, on);
  }
}

const bogus = (queue: string): Receipt => ({ id: "00000000-0000-7000-8000-000000000000", queue, fence: 0 });

test("what was claimed is given back when what rode with the claim could not be looked for", async (t) => {
  const transport = await schema.open({ queues: ["alpha"] });
  await send(transport, ...messages("alpha", 3));
  const { options } = parsePgBossOptions(url, { schema: schema.name, statementTimeoutMs: 1_000 }, "");
  const database = new CutDatabase({ connectionString: url, startup: "", options, runtime: systemRuntime, logger: silentLogger });
  t.after(() => database.close());
  await database.open();
  const runtime = createManualRuntime();
  const lost = new LostClaims({ database, schema: schema.name, statementTimeoutMs: 1_000, runtime, logger: silentLogger });
  const bundles = new Bundles(database, schema.name);
  const lane = new FastLane({ database, options, serializer: createJsonSerializer(), runtime, bundles }, lost);
  const [row] = await schema.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = 'alpha'");
  const layout = { partitioned: true, keyed: false, namesDeadLetters: true, hasFlush: true };
  const queue: QueueInfo = { name: "alpha", table: row?.table ?? "", policy: "standard", ...layout };
  database.isCut = true;
  const acknowledge = [{ queue, receipts: [bogus("alpha")] }];
  await assert.rejects(lane.claim([queue], { workerId: WORKER, max: 10, maxBytes: Number.POSITIVE_INFINITY, acknowledge }), /cut/);
  assert.equal((await receive(transport, "alpha")).length, 0, "they are in flight");
  database.isCut = false;
  await runtime.clock.advance(1_000);
  const found: Received[] = [];
  const look = async (): Promise<boolean> => found.push(...(await receive(transport, "alpha"))) > 0;
  await waitFor(look, { what: "the messages" });
  assert.deepEqual([found.length, found[0]?.receipt.fence], [3, 1], "another delivery");
});

for (const [what, fails] of [
  ["another lane", "claim"],
  ["the acknowledgement of the rest", "acknowledge"],
] as const) {
  test(`what one lane has claimed is received although ${what} fails, and nobody hears of acknowledgements that are not sure`, async () => {
    const message = { receipt: bogus("one"), queue: "one", priority: 5, body: "null" } satisfies Received;
    const cut = () => Promise.reject(new TransportError("TRANSPORT_UNAVAILABLE", "cut"));
    const lane = (name: string): Lane => {
      const claimed: Claimed = { received: name === "one" ? [message] : [], settled: new Set() };
      const claim = async (): Promise<Claimed> => (name === "two" && fails === "claim" ? cut() : claimed);
      const acknowledge = cut;
      return { tellsEpoch: false, claim, acknowledge, giveBack: cut, deadLetter: cut };
    };
    const lanes = new Map(["one", "two", "three"].map((name) => [name, lane(name)]));
    const queues = ["one", "two", "three"].map((name) => ({ name }) as QueueInfo);
    const find = (name: string) => queues.find((queue) => queue.name === name);
    const pauses = { keepFresh: async () => {}, open: (all: unknown) => all, withhold: async (all: unknown) => all };
    const directory = { find: async (name: string) => find(name), peek: find, deadLetters: async () => undefined };
    const input = { queues: directory, laneOf: ({ name }: QueueInfo) => lanes.get(name), pauses };
    const receiver = new PgBossReceiver(input as never);
    let reports = 0;
    const options = { workerId: WORKER, queues: ["one", "two"], onSettled: () => (reports += 1) };
    const got = await receiver.receive(10, { ...options, acknowledge: [bogus("two"), bogus("three")] });
    assert.deepEqual([got, reports], [[message], 0]);
  });
}
