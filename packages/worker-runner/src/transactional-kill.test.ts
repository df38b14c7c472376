import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createMessenger, isReapable } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { runWorkerProcess } from "./run-worker-process.ts";
import { createTestDatabase } from "./testing/database.ts";

const CONFIG_URL = new URL("./testing/killed.config.ts", import.meta.url).href;
const PROGRAM = fileURLToPath(new URL("./testing/killed-process.ts", import.meta.url));
/** Debit, dispatch, credit, acknowledgement, commit. */
const STATEMENTS = 5;
const MOMENTS = ["before", "sent", "answered"] as const;

const NOTHING = { entries: "", receipts: 0, transfers: 1 };
const ALL = { entries: "credit,debit", receipts: 1, transfers: 0 };

test("a transactional handler in a pool thread that is killed at any statement: all of it or nothing, and once in the end", {
  timeout: 300_000,
}, async (t) => {
  const database = await createTestDatabase();
  t.after(() => database[Symbol.asyncDispose]());
  await database.query("CREATE TABLE $schema.entry (account text NOT NULL, side text NOT NULL)");
  process.env.SYMPHONY_TEST_DSN = database.dsn;
  const { default: config, Transfer } = await import("./testing/killed.config.ts");
  const messenger = await createMessenger(config);
  t.after(() => messenger.close());
  const transport = messenger.transport("default");

  /** What is committed of a transfer: its entries, the receipts that it sent, and itself. */
  const found = async (account: string) => {
    const [row] = await database.query<{ entries: string; receipts: number; transfers: number }>(
      `SELECT (SELECT coalesce(string_agg(side, ',' ORDER BY side), '') FROM $schema.entry WHERE account = $1) AS entries,
         (SELECT count(*)::int FROM $schema.job WHERE name = 'receipts' AND data #>> '{payload,account}' = $1) AS receipts,
         (SELECT count(*)::int FROM $schema.job WHERE name = 'transfers' AND data #>> '{payload,account}' = $1) AS transfers`,
      [account],
    );
    return row;
  };

  async function run(kill: string): Promise<NodeJS.Signals | null> {
    const env = { ...process.env, SYMPHONY_TEST_KILL: kill };
    const child = spawn(process.execPath, ["--conditions=source", PROGRAM], { stdio: ["ignore", "inherit", "inherit"], env });
    const [, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return signal;
  }

  /** Handles what is left, in threads of this process. */
  const survive = () => {
    const worker = { queues: ["transfers"], stopWhenEmpty: true, pollInterval: 50 };
    return runWorkerProcess({ configPath: CONFIG_URL, messenger, threads: 1, worker }).start();
  };

  /** The server has noticed that the killed process is gone, whose transaction may hold the row until then; no worker lives. */
  async function reaped(): Promise<void> {
    assert.ok(isReapable(transport));
    const reap = transport.reap.bind(transport);
    const active = async (): Promise<boolean> => {
      await reap(1);
      const rows = await database.query("SELECT 1 FROM $schema.job WHERE name = 'transfers' AND state = 'active'");
      return rows.length > 0;
    };
    await waitFor(async () => !(await active()), { what: "the end of the killed process's work" });
  }

  let committed = 0;
  for (let at = 1; at <= STATEMENTS; at++) {
    for (const when of MOMENTS) {
      const account = `${at} ${when}`;
      await messenger.dispatch(Transfer, { account });
      assert.equal(await run(account), "SIGKILL", account);
      await reaped();
      const after = await found(account);
      assert.deepEqual(after, after?.transfers === 0 ? ALL : NOTHING, `${account}: all or nothing`);
      if (after?.transfers === 0) committed += 1;
      else await survive();
      assert.deepEqual(await found(account), ALL, `${account}: once, in the end`);
    }
  }
  // At least the one that saw its commit answered, and never one that had not sent it.
  assert.ok(committed >= 1 && committed <= 2, `${committed} had committed before they were killed`);
  await messenger.dispatch(Transfer, { account: "unharmed" });
  assert.equal(await run(`${STATEMENTS + 1} before`), null, "there is no statement beyond those that were tried");
  assert.deepEqual(await found("unharmed"), ALL);
});
