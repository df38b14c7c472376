import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { waitFor } from "@symphony/core/testing";
import { testBed } from "../support/in-test.ts";
import { killSchedulers } from "../support/kill-schedulers.ts";

/** Each of the eleven places where a run can be cut short, once; `npm run faults -- --only F60` does it a hundred times. */
const KILLS = 11;

test("a schedule whose process is killed at any statement of a run dispatches each due time once", { timeout: 120_000 }, async (t) => {
  const bed = await testBed(t);
  const result = await killSchedulers({ database: bed.database, processes: bed.processes, kills: KILLS });
  assert.deepEqual([result.lost, result.doubled], [[], []]);
  assert.equal(result.kills, KILLS);
  assert.ok(result.due > KILLS / 2, `${result.due} due times`);
  assert.equal(result.counted, result.dispatched);
});

const CONFIG = fileURLToPath(new URL("../fixtures/schedules.config.ts", import.meta.url));
const TICK_MS = 250;

test("two fleets handle each due time once while processes are replaced, killed and stopped", { timeout: 120_000 }, async (t) => {
  const bed = await testBed(t);
  const { database } = bed;
  const start = () =>
    bed.processes.symphony(["consume", "--config", CONFIG, "--json", "--health-port", "0", "--processes", "2"], {
      env: bed.environment(),
    });
  const handled = async (): Promise<number[]> =>
    (await database.query<{ value: string }>("SELECT value FROM effect")).map(({ value }) => Date.parse(value)).sort((a, b) => a - b);
  const more = async (by: number): Promise<void> => {
    const target = (await handled()).length + by;
    await waitFor(async () => (await handled()).length >= target, { timeoutMs: 40_000, intervalMs: 50, what: `${by} more due times` });
  };
  const first = start();
  await more(5);
  const second = start();
  await more(5);
  first.signal("SIGHUP");
  await more(8);
  const holder = "SELECT w.pid FROM symphony.messenger_worker w ORDER BY started_at LIMIT 1";
  process.kill((await database.query<{ pid: number }>(holder))[0]?.pid ?? 0, "SIGKILL");
  await more(16);
  first.signal("SIGTERM");
  assert.equal((await first.waitForExit(20_000)).code, 0);
  await more(8);
  const { stdout } = await bed.processes.run(["schedule", "list", "--json", "--config", CONFIG], { env: bed.environment() });
  const [tick] = (JSON.parse(stdout) as { schedules: { status: string; missed: number }[] }).schedules;
  assert.deepEqual([tick?.status, tick?.missed], ["waiting", 0]);
  second.signal("SIGTERM");
  await second.waitForExit(20_000);
  // Those that were dispatched in the last moment wait for the next worker.
  const waiting = await database.query<{ due: string }>(
    "SELECT data #>> '{headers,symphony-due-at}' AS due FROM symphony.job WHERE name = 'ticks'",
  );
  const times = [...(await handled()), ...waiting.map(({ due }) => Date.parse(due))].sort((a, b) => a - b);
  const from = times[0] ?? 0;
  assert.deepEqual(
    times,
    times.map((_, n) => from + n * TICK_MS),
    "none is left out, none is there twice",
  );
});
