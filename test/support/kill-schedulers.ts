import { fileURLToPath } from "node:url";
import { createMessenger, defineMessage } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import type { Database } from "./database.ts";
import type { Processes, RunningProcess } from "./processes.ts";

const PROGRAM = fileURLToPath(new URL("../fixtures/scheduler-process.ts", import.meta.url));
const TICK_MS = 500;
/** Processes that wait for the next one to die. */
const STANDBY = 4;
/** Every statement of a run (begin, lock, insert, advance, commit), before it leaves and after; and before the first. */
const POINTS = ["0 before", ...[1, 2, 3, 4, 5].flatMap((n) => [`${n} before`, `${n} after`])];

export interface KillResult {
  readonly kills: number;
  /** Due times between the first and the last that were dispatched. */
  readonly due: number;
  readonly dispatched: number;
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  /** As the schedule itself counts them. */
  readonly counted: number;
}

/**
 * Lets the process that sees to a schedule be killed at each due time, at any statement of its run, until `kills` have
 * died; then one is left to finish, and every due time is looked for.
 */
export async function killSchedulers(o: {
  readonly database: Database;
  readonly processes: Processes;
  readonly kills: number;
}): Promise<KillResult> {
  const { database, processes, kills } = o;
  await setUp(database.connectionString);
  const start = (killAt: string): RunningProcess =>
    processes.start(process.execPath, ["--conditions=source", PROGRAM], {
      env: { DATABASE_URL: database.connectionString, KILL_AT: killAt, TICK_MS: String(TICK_MS) },
    });
  const living: RunningProcess[] = [];
  let started = 0;
  let died = 0;
  while (died < kills) {
    while (living.length < STANDBY && started < kills) living.push(start(POINTS[started++ % POINTS.length] ?? ""));
    const next = (): readonly RunningProcess[] | undefined => {
      const dead = living.filter((each) => each.exited);
      return dead.length > 0 ? dead : undefined;
    };
    const dead = await waitFor(next, { timeoutMs: 60_000, intervalMs: 20, what: "the next to die" });
    for (const each of dead) {
      const { signal } = await each.waitForExit(1_000);
      if (signal !== "SIGKILL") throw new Error(`a process ended with ${signal} and not by its own hand`);
      living.splice(living.indexOf(each), 1);
      died += 1;
    }
  }
  const last = start("");
  const lag = "SELECT extract(epoch FROM now() - run_at)::float8 AS s FROM symphony.messenger_schedule";
  await waitFor(async () => ((await database.query<{ s: number }>(lag))[0]?.s ?? 99) < 1, {
    timeoutMs: 60_000,
    intervalMs: 100,
    what: "it to catch up",
  });
  last.signal("SIGKILL");
  await last.waitForExit(5_000);
  return { kills: died, ...(await judge(database)) };
}

async function setUp(dsn: string): Promise<void> {
  const messenger = await createMessenger({ transports: { default: { dsn } }, messages: [defineMessage("test.tick", { queue: "ticks" })] });
  await messenger.setUp();
  await messenger.close();
}

async function judge(database: Database): Promise<Omit<KillResult, "kills">> {
  const rows = await database.query<{ due: string }>(
    "SELECT data #>> '{payload,dueAt}' AS due FROM symphony.job WHERE name = 'ticks' ORDER BY 1",
  );
  const [schedule] = await database.query<{ runs: number }>("SELECT runs::int AS runs FROM symphony.messenger_schedule");
  const times = rows.map(({ due }) => Date.parse(due));
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const expected = Array.from({ length: (last - first) / TICK_MS + 1 }, (_, n) => first + n * TICK_MS);
  const seen = new Set(times);
  return {
    due: expected.length,
    dispatched: times.length,
    lost: expected.filter((at) => !seen.has(at)).map((at) => new Date(at).toISOString()),
    doubled: times.filter((at, n) => times[n - 1] === at).map((at) => new Date(at).toISOString()),
    counted: schedule?.runs ?? 0,
  };
}
