import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { waitFor } from "@symphony/core/testing";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { drainTransfers, openMessenger, QUEUES, Transfer } from "./testing/transfers.ts";

const PROGRAM = fileURLToPath(new URL("./testing/killed-worker.ts", import.meta.url));
/** Debit, dispatch, credit, acknowledgement, commit. */
const STATEMENTS = 5;
const MOMENTS = ["before", "sent", "answered"] as const;

test("a transactional handler that is killed at any statement has its effects and dispatches all or not at all, and once in the end", {
  timeout: 120_000,
}, async (t) => {
  const schema = new TestSchema(await testDatabase(), t);
  const transport = await schema.open({ queues: QUEUES });
  await schema.query("CREATE TABLE $schema.entry (account text NOT NULL, side text NOT NULL)");
  const messenger = await openMessenger(transport, schema.name, () => undefined);

  /** What is committed of a transfer: its entries, the receipts that it sent, and itself. */
  const found = async (account: string): Promise<{ entries: string; receipts: number; transfers: number }> => {
    const [row] = await schema.query<{ entries: string; receipts: number; transfers: number }>(
      `SELECT (SELECT coalesce(string_agg(side, ',' ORDER BY side), '') FROM $schema.entry WHERE account = $1) AS entries,
         (SELECT count(*)::int FROM $schema.job WHERE name = 'receipts' AND data #>> '{payload,account}' = $1) AS receipts,
         (SELECT count(*)::int FROM $schema.job WHERE name = 'transfers' AND data #>> '{payload,account}' = $1) AS transfers`,
      [account],
    );
    assert.ok(row !== undefined);
    return row;
  };
  const NOTHING = { entries: "", receipts: 0, transfers: 1 };
  const ALL = { entries: "credit,debit", receipts: 1, transfers: 0 };

  async function runVictim(at: number, when: string): Promise<NodeJS.Signals | null> {
    const child = spawn(process.execPath, ["--conditions=source", PROGRAM, schema.url, schema.name, String(at), when], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    // The server goes on with what it was sent before it sees that nobody is there.
    const gone = async (): Promise<boolean> =>
      (await schema.query("SELECT 1 FROM pg_stat_activity WHERE application_name = $1", [`${schema.name}-victim`])).length === 0;
    await waitFor(gone, { timeoutMs: 10_000, what: "the end of the victim's connections" });
    return signal;
  }

  let committed = 0;
  for (let at = 1; at <= STATEMENTS; at++) {
    for (const when of MOMENTS) {
      const account = `${at} ${when}`;
      await messenger.dispatch(Transfer, { account });
      assert.equal(await runVictim(at, when), "SIGKILL", account);
      const after = await found(account);
      assert.deepEqual(after, after.transfers === 0 ? ALL : NOTHING, `${account}: all or nothing`);
      if (after.transfers === 0) committed += 1;
      await transport.retire("victim");
      await drainTransfers(transport, messenger, "survivor");
      assert.deepEqual(await found(account), ALL, `${account}: once, in the end`);
    }
  }
  // At least the one that saw its commit answered, and never one that had not sent it.
  assert.ok(committed >= 1 && committed <= 2, `${committed} had committed before they were killed`);
  await messenger.dispatch(Transfer, { account: "unharmed" });
  assert.equal(await runVictim(STATEMENTS + 1, "before"), null, "there is no statement beyond those that were tried");
  assert.deepEqual(await found("unharmed"), ALL);
});
