import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { Effect, Flaky, Note } from "../fixtures/messages.ts";
import { withAddress } from "../support/database.ts";
import { privateServer, proxyTo, testBed } from "../support/in-test.ts";
import { runNemesis, type Trouble } from "../support/nemesis.ts";
import { freshSeed, seeded } from "../support/random.ts";
import { elapse, type Fleet } from "../support/test-bed.ts";

/** Milliseconds; longer than a lease's detection of half-open connections, so that a period's damage shows in it. */
const PERIOD_MS = 4_000;
const PERIODS = 4;
/**
 * Milliseconds until the server notices that somebody has gone without a word: less than the half minute that we ask it for. Until
 * then a transaction of theirs holds its message.
 */
const NOTICED_AFTER_MS = 10_000;
/** Messages that must have got through while the faults came. */
const SOME = 20;
/** … and in all, however slow the disk: then the producer goes on for longer. */
const ENOUGH = 100;
/** Messages that wait at most, however fast the disk: what is left at the end has to be handled in time. */
const MOST_WAITING = 2_000;

test("under kills, cuts, half-open connections and restarts together nothing is lost, and effects happen once", {
  timeout: 180_000,
}, async (t) => {
  const seed = Number(process.env.SYMPHONY_TEST_SEED ?? freshSeed());
  t.diagnostic(`seed ${seed} (SYMPHONY_TEST_SEED repeats it)`);
  const server = await privateServer(t);
  const proxy = await proxyTo(t, server);
  const bed = await testBed(t, { server });
  const dsn = withAddress(bed.database.connectionString, "127.0.0.1", proxy.port);
  const flags = ["--processes", "2", "--threads", "1", "--concurrency", "5"];
  const fleets: readonly Fleet[] = [
    await bed.startFleet({ flags, dsn }),
    await bed.startFleet({ flags: ["--processes", "1", "--threads", "1"] }),
  ];

  const troubles: readonly Trouble[] = [
    {
      name: "kill",
      inject: (random) => {
        const pid = random.pick(fleets.flatMap((fleet) => fleet.workerPids()));
        bed.faultNow("kill", { pids: [pid] });
        process.kill(pid, "SIGKILL");
        return Promise.resolve(() => undefined);
      },
    },
    {
      name: "cut",
      inject: () => {
        bed.faultNow("cut");
        proxy.cut();
        return Promise.resolve(() => undefined);
      },
    },
    {
      name: "half-open",
      inject: () => {
        const over = bed.fault("half-open", { overlap: true });
        proxy.blackHole({ noticedAfterMs: NOTICED_AFTER_MS });
        // The damage lasts until the clients find out.
        return Promise.resolve(async () => {
          await elapse(PERIOD_MS);
          over();
        });
      },
    },
    {
      name: "restart",
      inject: async () => {
        const over = bed.fault("restart", { overlap: true });
        await server.restart("immediate");
        return over;
      },
    },
  ];

  let running = true;
  // -1 while the database does not answer.
  const waiting = (): Promise<number> => bed.unfinished().catch(() => -1);
  let accepted = 0;
  const writing = (async () => {
    const types = [Note, Effect, Flaky] as const;
    for (let i = 0; running || accepted <= ENOUGH; i++) {
      const type = types[i % types.length] ?? Note;
      const { isAccepted } = await bed.send(type, type === Flaky ? { failures: 1 } : { sleepMs: 20 });
      if (isAccepted) accepted += 1;
      if (i % 100 === 0)
        await waitFor(async () => !running || (await waiting()) < MOST_WAITING, { what: "fewer to wait", timeoutMs: 60_000 });
    }
  })();
  await runNemesis({
    random: seeded(seed),
    troubles,
    periods: PERIODS,
    wait: () => elapse(PERIOD_MS),
    onPeriod: (period) => t.diagnostic(period.troubles.join(", ") || "quiet"),
  });
  running = false;
  const meanwhile = accepted;
  await writing;
  await bed.drained(90_000);
  const verdict = await bed.verdict({ settleWithinMs: 15_000 });
  t.diagnostic(
    `${verdict.accepted} accepted, ${verdict.unknown} unknown of which ${verdict.recovered} arrived, ${verdict.duplicates.length} repeated: ${JSON.stringify(verdict.explained)}`,
  );
  assert.deepEqual(verdict.violations, []);
  assert.ok(meanwhile > SOME, "the producer got through between the faults");
  assert.equal(verdict.deadLettered, 0, "nobody innocent is given up on");
  const [effects] = await bed.database.query<{ rows: number; different: number }>(
    "SELECT count(*)::int AS rows, count(DISTINCT value)::int AS different FROM effect",
  );
  assert.equal(effects?.rows, effects?.different, "transactional effects happen once");
  for (const fleet of fleets) assert.equal(fleet.process.exited, false, "the supervisors live on");
});
