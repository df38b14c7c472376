import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { OptionsError, stamps } from "@symphony/core";
import { testEnvelope, waitFor } from "@symphony/core/testing";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import createKnex from "knex";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { fromDrizzle, fromKnex, fromKysely, fromPrisma } from "./index.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { openPrisma } from "./testing/prisma.ts";

const url = await testDatabase();

/** Runs `work` in a transaction of the library, with what `send` takes; what it throws rolls back. */
type InTransaction = (work: (transaction: unknown) => Promise<void>) => Promise<void>;

/** Each opens what it needs, and closes it. */
const LIBRARIES: Readonly<Record<string, InTransaction>> = {
  knex: async (work) => {
    const knex = createKnex({ client: "pg", connection: url });
    try {
      await knex.transaction((trx) => work(fromKnex(trx)));
    } finally {
      await knex.destroy();
    }
  },
  kysely: async (work) => {
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
    try {
      await db.transaction().execute((trx) => work(fromKysely(trx)));
    } finally {
      await db.destroy();
    }
  },
  prisma: async (work) => {
    const prisma = openPrisma(url);
    try {
      await prisma.$transaction((tx) => work(fromPrisma(tx)));
    } finally {
      await prisma.$disconnect();
    }
  },
  drizzle: async (work) => {
    const pool = new pg.Pool({ connectionString: url });
    try {
      await drizzle(pool).transaction((tx) => work(fromDrizzle(tx, sql)));
    } finally {
      await pool.end();
    }
  },
};

const message = (n: number, key?: string) =>
  testEnvelope("test.message", { n, text: "who? :name $1 ?" }, key === undefined ? [] : [stamps.idempotencyKey({ key })]);
const receiver = { workerId: "w1" };

for (const path of ["auto", "portable"] as const) {
  for (const [library, inTransaction] of Object.entries(LIBRARIES)) {
    describe(`a transaction of ${library}, path ${path}`, () => {
      test("carries messages to its commit, and wakes the workers then", async (t) => {
        const schema = new TestSchema(url, t);
        const [transport, other] = [await schema.open({ path }), await schema.open({ path })];
        let woken = 0;
        const stop = await other.onWake(() => {
          woken += 1;
        });
        await inTransaction(async (transaction) => {
          const results = await transport.send([message(1), message(2)], { transaction });
          assert.deepEqual(
            results.map(({ kind }) => kind),
            ["accepted", "accepted"],
          );
          assert.equal(await transport.getQueueDepth(), 0, "nobody sees them yet");
          assert.equal(woken, 0);
        });
        await waitFor(() => woken > 0, { timeoutMs: 5_000 });
        await stop();
        const received = await transport.receive(10, receiver);
        assert.deepEqual(
          received.map(({ envelope }) => envelope?.message.payload),
          [1, 2].map((n) => ({ n, text: "who? :name $1 ?" })),
        );
      });

      test("leaves nothing behind when it rolls back", async (t) => {
        const schema = new TestSchema(url, t);
        const transport = await schema.open({ path });
        const rolledBack = inTransaction(async (transaction) => {
          await transport.send([message(1, "k")], { transaction });
          throw new Error("changed my mind");
        });
        await assert.rejects(rolledBack, /changed my mind/);
        assert.equal(await transport.getQueueDepth(), 0);
        assert.equal((await transport.send([message(2, "k")]))[0]?.kind, "accepted", "the key was never used");
      });

      test("knows duplicates, conflicts and queues that do not exist", async (t) => {
        const schema = new TestSchema(url, t);
        const transport = await schema.open({ path });
        await transport.send([message(1, "k")]);
        await inTransaction(async (transaction) => {
          const nowhere = testEnvelope("test.message", {}, [stamps.queueName({ queue: "nowhere" })]);
          const results = await transport.send([message(1, "k"), message(2, "k"), message(3), nowhere], { transaction });
          assert.deepEqual(
            results.map((result) => (result.kind === "refused" ? result.error.code : result.kind)),
            ["duplicate", "IDEMPOTENCY_CONFLICT", "accepted", "QUEUE_NOT_FOUND"],
          );
        });
        assert.equal(await transport.getQueueDepth(), 2);
      });
    });
  }
}

test("refuses what is no transaction, and says what would be one", async (t) => {
  const transport = await new TestSchema(url, t).open();
  for (const transaction of [{}, "tx", 1, () => undefined]) {
    await assert.rejects(transport.send([message(1)], { transaction }), (error) => {
      assert.ok(error instanceof OptionsError);
      assert.match(error.message, /must be a client of pg, or fromKnex\(trx\)/);
      return true;
    });
  }
});
