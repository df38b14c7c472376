import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pause, waitFor } from "@symphony/core/testing";
import { Flaky, Note, Slow } from "../../fixtures/messages.ts";
import { now } from "../../support/journal.ts";
import { type Arena, summary } from "../arena.ts";
import { round } from "../figures.ts";
import type { Fleet, FleetOptions } from "../fleet.ts";
import { Load } from "../load.ts";
import type { Figures, Row } from "../row.ts";

const PRELOAD = new URL("../../support/shifted-clock.ts", import.meta.url).href;
const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

interface ShiftedClock {
  readonly options: FleetOptions;
  set(ms: number): void;
}

/** A wall clock of one fleet's own. */
function shiftedClock(arena: Arena, name: string): ShiftedClock {
  const file = join(arena.directory, `clock-${name}`);
  const set = (ms: number): void => writeFileSync(file, String(ms));
  set(0);
  return { options: { env: { NODE_OPTIONS: `--import=${PRELOAD}`, SYMPHONY_TEST_CLOCK: file } }, set };
}

/** Nobody takes from the living, or gives up, because of a clock. */
function requireCalm(arena: Arena, fleets: readonly Fleet[], what: string): void {
  for (const fleet of fleets) {
    const lost = fleet.logged(/giving up what is in flight|was reaped|took back the work|process died/);
    arena.require(lost === 0, `${what}: ${lost} leases were lost or taken from the living`);
  }
}

/** One fleet with a wrong clock beside one with the right one: nothing is early, nothing is taken from the living. */
async function shiftClock(arena: Arena, offsetMs: number): Promise<number> {
  const what = `${round(offsetMs / HOUR_MS)} h`;
  const clock = shiftedClock(arena, String(offsetMs));
  clock.set(offsetMs);
  const [right, wrong] = [await arena.fleet({ processes: 1 }), await arena.fleet({ processes: 1, ...clock.options })];
  const at = now();
  const later = await Promise.all([
    ...Array.from({ length: 10 }, () => arena.send(Note, {}, { delayMs: 2_500 })),
    ...Array.from({ length: 10 }, () => arena.send(Note, {}, { scheduledAt: new Date(Date.now() + 3_000) })),
  ]);
  const retried = await arena.sendMany(10, Flaky, () => ({ failures: 1, how: "recoverable" as const, delayMs: 1_500 }));
  await arena.sendMany(60, Note, () => ({ sleepMs: 200 }));
  // Handlers that are longer than the time after which a worker without a beat is given up.
  const long = await arena.sendMany(4, Slow, () => ({ sleepMs: 11_000 }));
  await arena.drain();
  const told = wrong.logged(/clock of this machine and that of the database differ/);
  const shown = (await wrong.probe("/readyz?verbose")).text;
  const pids = wrong.workers();
  await Promise.all([right.stop(), wrong.stop()]);
  const early = later.filter(({ value }) => (arena.runsOf(value)[0]?.at ?? 0) - at < 2_500).length;
  const soon = retried.filter(({ value }) => {
    const [first, second] = arena.runsOf(value);
    return first === undefined || second === undefined || second.at - first.at < 1_500;
  }).length;
  const byWrong = arena.entries().filter((entry) => entry.kind === "end" && pids.includes(entry.pid) && entry.at > at).length;
  arena.require(early === 0, `${what}: ${early} messages ran before their time`);
  arena.require(soon === 0, `${what}: ${soon} retries came before their time`);
  arena.require(byWrong > 0, `${what}: the fleet with the wrong clock has handled nothing`);
  arena.require(
    long.every(({ value }) => arena.runsOf(value).length === 1),
    `${what}: a long handler was interrupted`,
  );
  arena.require(told === 1 && /this clock is \d+ ms/.test(shown), `${what}: nothing tells that the clock is wrong: ${shown}`);
  requireCalm(arena, [right, wrong], what);
  return byWrong;
}

async function shiftClocks(arena: Arena): Promise<Figures> {
  const offsets = [-5 * YEAR_MS, HOUR_MS, -HOUR_MS, 5 * YEAR_MS].slice(0, arena.n);
  let byWrong = 0;
  for (const offset of offsets) byWrong += await shiftClock(arena, offset);
  const verdict = await arena.judge();
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages ran twice`);
  return { ...summary(verdict), clocks: offsets.length, handled_by_wrong: byWrong };
}

/** The clock steps back and forth while everything works. */
async function stepClock(arena: Arena): Promise<Figures> {
  const clock = shiftedClock(arena, "steps");
  const fleet = await arena.fleet({ processes: 2, ...clock.options });
  const pids = fleet.workers().join();
  const load = new Load(arena, { backlog: 60, turn: 30, sleepMs: [20, 400] });
  const at = now();
  for (let i = 0; i < arena.n; i++) {
    const step = arena.random.pick([-2 * HOUR_MS, -60_000, -1_500, 0, 1_500, 60_000, 2 * HOUR_MS]);
    clock.set(step);
    await pause(arena.random.integer(200, 1_200));
  }
  const { value } = await arena.send(Note, {}, { delayMs: 2_000 });
  const sentAt = now();
  clock.set(2 * HOUR_MS);
  const start = await waitFor(() => arena.runsOf(value)[0], { timeoutMs: 20_000, what: "a delayed message to run" });
  await load.stop();
  await arena.drain();
  arena.require(fleet.workers().join() === pids, "a worker process was restarted");
  const { code } = await fleet.stop();
  const verdict = await arena.judge();
  const handled = arena.entries().filter((entry) => entry.kind === "end").length / ((now() - at) / 1_000);
  arena.require(code === 0, `exit code ${code}`);
  arena.require(start.at - sentAt >= 2_000 && start.at - sentAt < 5_000, `a delay of 2000 ms took ${round(start.at - sentAt)} ms`);
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages ran twice`);
  requireCalm(arena, [fleet], "steps");
  return { ...summary(verdict), steps: arena.n, handled_per_s: round(handled) };
}

export const clockRows: readonly Row[] = [
  { id: "F57", title: "the clock of a worker's machine is wrong (n clocks)", n: 4, gate: 2, waits: 28, run: shiftClocks },
  { id: "F58", title: "the clock of a worker's machine steps (n times)", n: 60, gate: 10, waits: 13, run: stepClock },
];
