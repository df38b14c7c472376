import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createMessenger, isListable, type Messenger, type MessengerConfig, type Received, type StopReason } from "@symphony/core";
import { createRecordingLogger, waitFor } from "@symphony/core/testing";
import { runWorkerProcess, type WorkerRun } from "./run-worker-process.ts";
import { createTestDatabase, type TestDatabase } from "./testing/database.ts";
import { createThreadPoolExecutor } from "./thread-pool.ts";

const configUrl = new URL("./testing/database.config.ts", import.meta.url).href;

describe("threads with a database", () => {
  let database: TestDatabase;
  let config: typeof import("./testing/database.config.ts");

  before(async () => {
    database = await createTestDatabase();
    // Threads get a copy of the environment when they start, and load the configuration themselves.
    process.env.SYMPHONY_TEST_DSN = database.dsn;
    config = await import("./testing/database.config.ts");
  });

  after(() => database[Symbol.asyncDispose]());

  const open = (): Promise<Messenger> => createMessenger(config.default as MessengerConfig, { logger: createRecordingLogger() });

  async function receiveOne(messenger: Messenger): Promise<Received> {
    const transport = messenger.transport("default");
    const [received] = await waitFor(
      async () => {
        const messages = await transport.receive(1, { workerId: "test", queues: ["default"] });
        return messages.length > 0 ? messages : undefined;
      },
      { what: "a message" },
    );
    assert.ok(received !== undefined);
    return received;
  }

  const bookings = async (account: string): Promise<number> => {
    const [row] = await database.query<{ count: number }>("SELECT count(*)::int AS count FROM $schema.bookings WHERE account = $1", [
      account,
    ]);
    return row?.count ?? 0;
  };

  const follow = async (messenger: Messenger): Promise<unknown[]> => {
    const messages = await messenger.transport("default").receive(100, { workerId: "follow", queues: ["booked"] });
    await messenger.transport("default").acknowledge(messages.map(({ receipt }) => receipt));
    return messages.map(({ envelope }) => envelope?.message.payload);
  };

  test("a transactional handler's rows, dispatches and acknowledgement are one commit", async () => {
    const messenger = await open();
    const pool = createThreadPoolExecutor({ configPath: configUrl, messenger, transport: "default", threads: 1, concurrency: 4 });
    await messenger.dispatch(config.Book, { account: "good" });
    const received = await receiveOne(messenger);
    assert.deepEqual(await pool.execute(received, new AbortController().signal), { kind: "handled", settled: true });
    assert.equal(await bookings("good"), 1);
    assert.deepEqual(await follow(messenger), [{ account: "good" }]);
    const [late] = await messenger.transport("default").acknowledge([received.receipt]);
    assert.equal(late?.status, "lease_lost");
    await pool.close();
    await messenger.close();
  });

  test("nothing of it remains when it throws, or when its delivery is not current any more", async () => {
    const messenger = await open();
    const pool = createThreadPoolExecutor({ configPath: configUrl, messenger, transport: "default", threads: 1, concurrency: 4 });
    const { signal } = new AbortController();
    await messenger.dispatch(config.Book, { account: "thrown", ending: "throw" });
    const thrown = await receiveOne(messenger);
    assert.equal((await pool.execute(thrown, signal)).kind, "failed");
    await messenger.transport("default").acknowledge([thrown.receipt]);
    await messenger.dispatch(config.Book, { account: "stale" });
    const stale = await receiveOne(messenger);
    await messenger.transport("default").reject([{ receipt: stale.receipt, release: true }]);
    const current = await receiveOne(messenger);
    assert.deepEqual(await pool.execute(stale, signal), { kind: "interrupted", reason: "lease_lost" });
    assert.deepEqual([await bookings("thrown"), await bookings("stale")], [0, 0]);
    assert.deepEqual(await follow(messenger), []);
    await messenger.transport("default").acknowledge([current.receipt]);
    await pool.close();
    await messenger.close();
  });

  test("more of them at a time than the thread has connections wait for each other", async () => {
    const messenger = await open();
    const pool = createThreadPoolExecutor({ configPath: configUrl, messenger, transport: "default", threads: 1, concurrency: 20 });
    await messenger.dispatchMany(Array.from({ length: 20 }, () => ({ type: config.Book, payload: { account: "many" } })));
    const all = await Promise.all(Array.from({ length: 20 }, () => receiveOne(messenger)));
    const outcomes = await Promise.all(all.map((received) => pool.execute(received, new AbortController().signal)));
    assert.ok(outcomes.every(({ kind }) => kind === "handled"));
    assert.equal(await bookings("many"), 20);
    assert.equal((await follow(messenger)).length, 20);
    await pool.close();
    await messenger.close();
  });

  test("threads hold no connection before a transactional handler runs in them, and none after the pool has closed", async () => {
    const messenger = await open();
    const count = async (): Promise<number> =>
      (await database.query<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE '$schema%'"))[0]
        ?.n ?? 0;
    const pool = createThreadPoolExecutor({ configPath: configUrl, messenger, transport: "default", threads: 2, concurrency: 2 });
    await messenger.dispatch(config.Plain, {});
    const plain = await receiveOne(messenger);
    const without = await count();
    assert.ok(without > 0);
    assert.deepEqual(await pool.execute(plain, new AbortController().signal), { kind: "handled" });
    assert.equal(await count(), without);
    await messenger.transport("default").acknowledge([plain.receipt]);
    await messenger.dispatch(config.Book, { account: "connected" });
    await pool.execute(await receiveOne(messenger), new AbortController().signal);
    assert.ok((await count()) > without);
    await follow(messenger);
    await pool.close();
    await messenger.close();
    await waitFor(async () => (await count()) === 0, { what: "the end of all connections" });
  });

  describe("in a worker process", () => {
    let messenger: Messenger;
    let run: WorkerRun;
    let ended: Promise<StopReason>;

    before(async () => {
      messenger = await open();
      const worker = { queues: ["default"], maxConcurrency: 20, batchSize: 50, pollInterval: 50 };
      run = runWorkerProcess({ configPath: configUrl, messenger, threads: 2, worker });
      ended = run.start();
    });

    after(() => messenger.close());

    const drained = async (): Promise<unknown> =>
      waitFor(
        async () => {
          const [row] = await database.query<{ n: number }>(
            `SELECT (SELECT count(*) FROM $schema.job WHERE name = 'default' AND state < 'completed')::int
               + (SELECT count(*) FROM $schema.messenger_bundle)::int AS n`,
          );
          return row?.n === 0;
        },
        { timeoutMs: 30_000, what: "an empty queue" },
      );

    test("books everything exactly once, in threads and in the process, beside messages that kill theirs", async () => {
      const items = Array.from({ length: 300 }, (_, i) => {
        const type = i % 3 === 0 ? config.Book : i % 3 === 1 ? config.BookHere : config.Plain;
        return { type, payload: { account: `run-${i}` } };
      });
      await messenger.dispatchMany([...items, { type: config.Book, payload: { account: "fatal", ending: "exit" } }]);
      await drained();
      const rows = await database.query<{ account: string; n: number }>(
        "SELECT account, count(*)::int AS n FROM $schema.bookings WHERE account LIKE 'run-%' OR account = 'fatal' GROUP BY account",
      );
      assert.equal(rows.length, 200);
      assert.ok(rows.every(({ n }) => n === 1));
      assert.equal((await follow(messenger)).length, 100);
      const transport = messenger.transport("default");
      assert.ok(isListable(transport));
      const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
      assert.deepEqual(
        deadLetters.map(({ type, failure }) => [type, failure.reason]),
        [["book", "crashed"]],
      );
    });

    test("leaves no lease and no thread behind", async () => {
      await run.stop("signal");
      assert.equal(await ended, "signal");
      const { phase, inFlight } = run.health();
      assert.deepEqual({ phase, inFlight }, { phase: "stopped", inFlight: 0 });
    });
  });
});
