import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMemoryTransport } from "@symphony/core";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

const CONFIG = `import { defineConfig, defineMessage, defineSchedule } from "@symphony/core";
const Report = defineMessage("report.nightly", { queue: "reports" });
export default defineConfig({
  transports: { default: { dsn: "memory://cli-schedules" } },
  schedules: [
    defineSchedule("nightly", { message: Report, cron: "30 3 * * *", timeZone: "Europe/Berlin", payload: { kind: "full" } }),
    defineSchedule("often", { message: Report, every: "10 minutes", missedRuns: "none" }),
  ],
});`;

function bench(t: TestContext) {
  // As long as it is open, all commands find the same store.
  const transport = createMemoryTransport({ name: "cli-schedules" });
  t.after(() => transport.close());
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const run = async (...line: string[]) => {
    const io = memoryIo({ directory });
    return { code: await runCli(line, io), out: io.output(), err: io.errors() };
  };
  return { transport, run, json: async (...line: string[]) => JSON.parse((await run(...line, "--json")).out) };
}

test("schedule list shows trigger, state, next and last run", async (t) => {
  const { run, json } = bench(t);
  const { out } = await run("schedule", "list");
  assert.match(out, /^SCHEDULE +TRIGGER +MESSAGE +STATE +NEXT RUN +LAST RUN +RUNS +MISSED\n/);
  assert.match(out, /^nightly +at 03:30 every day \(Europe\/Berlin\) +report\.nightly +new +\d{4}-\d\d-\d\dT0[12]:30:00Z +- +0 +0$/m);
  const { schedules } = await json("schedule", "list", "--next", "4");
  assert.deepEqual(
    schedules.map(({ name, nextRunsAt }: { name: string; nextRunsAt: string[] }) => [name, nextRunsAt.length]),
    [
      ["nightly", 4],
      ["often", 4],
    ],
  );
  assert.equal((await run("schedule", "list", "--next", "0")).code, 2);
});

test("schedule pause, run and resume say what they did", async (t) => {
  const { transport, run, json } = bench(t);
  assert.equal((await run("schedule", "pause", "nightly")).out, "paused the schedule nightly\n");
  const { messageId, ...rest } = await json("schedule", "run", "nightly");
  assert.deepEqual(rest, { success: true, schedule: "nightly", transport: "default" });
  assert.equal(await transport.getQueueDepth(), 1);
  const [nightly] = (await json("schedule", "list")).schedules;
  assert.deepEqual([nightly.status, nightly.lastMessageId], ["paused", messageId]);
  assert.equal((await run("schedule", "resume", "nightly")).out, "resumed the schedule nightly\n");
  const { records } = await transport.listAudit({ limit: 10 });
  assert.deepEqual(
    records.map(({ action }) => action),
    ["schedule.resume", "schedule.run", "schedule.pause"],
  );
});

test("a schedule that does not exist exits 1, one that nobody has any more can be removed", async (t) => {
  const { transport, run } = bench(t);
  await transport.schedules.put(
    { name: "old", definition: "d", text: "every hour", type: "x", missedAfterMs: 60_000, dueAt: null, runAt: null },
    null,
  );
  assert.match((await run("schedule", "list")).out, /^old .* ended \(not in this configuration\)/m);
  assert.equal((await run("schedule", "remove", "old")).out, "removed the schedule old\n");
  const { code, err } = await run("schedule", "pause", "old");
  assert.equal(code, 1);
  assert.match(err, /there is no schedule "old"/);
});

test("status names schedules that did not run in time, debug all that there are", async (t) => {
  const { transport, run, json } = bench(t);
  assert.match((await run("status")).out, /^2 schedules, none overdue$/m);
  const hourAgo = (await transport.schedules.list()).now - 3_600_000;
  await transport.schedules.put(
    { name: "stuck", definition: "d", text: "every hour", type: "x", missedAfterMs: 60_000, dueAt: hourAgo, runAt: hourAgo },
    null,
  );
  const { out } = await run("status");
  assert.match(out, /^3 schedules, 1 overdue or failing$/m);
  assert.match(out, /^stuck .* overdue by 1h/m);
  assert.deepEqual(
    (await json("status")).schedules.map(({ name }: { name: string }) => name),
    ["nightly", "often", "stuck"],
  );
  assert.match((await run("debug")).out, /^often +every 10 minutes +report\.nightly +none +\d{4}-/m);
});
