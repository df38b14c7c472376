import { pause, waitFor } from "@symphony/core/testing";
import { Glutton, Note, Poison, Slow } from "../../fixtures/messages.ts";
import { readChanges } from "../../support/audit-trigger.ts";
import { now, type RunEntry } from "../../support/journal.ts";
import { makeMemoryCgroup, whyNoMemoryCgroup } from "../../support/memory-cgroup.ts";
import { type Arena, summary } from "../arena.ts";
import { round } from "../figures.ts";
import type { FleetOptions } from "../fleet.ts";
import type { Figures, Row } from "../row.ts";

type How = "exit" | "exit-1" | "abort" | "segfault" | "late-throw" | "late-reject" | "spin" | "hang";

interface Case {
  /** "glutton" and "heap": a message that is given the time to take all memory outside of its heap, or in it. */
  readonly how: How | "glutton" | "heap";
  /** How the message ends: handled, or dead-lettered for this reason. */
  readonly ends: "handled" | "crashed" | "timed_out" | "retries_exhausted";
  /** The worker processes have to be the same ones afterwards. */
  readonly processLives?: boolean;
  /** Milliseconds from the start of a run until it was given up. */
  readonly withinMs?: number;
  readonly siblings?: number;
  /** What the dead letter has to tell of the death. */
  readonly tells?: RegExp;
  /** The log has to name the message beside this. */
  readonly logs?: RegExp;
  readonly fleet?: FleetOptions;
}

/** A supervisor, a worker process, the isolation lane, and something to eat. */
const MEMORY_BYTES = 900 * 1_048_576;
/** Milliseconds that the trail of a death may be seen for: abort, grace, the end of the thread, the settlement. */
const AFTERMATH_MS = 3_000;

/** What was in a process or thread with a message that ends it may run again. */
function excuse(arena: Arena, name: string, starts: readonly RunEntry[]): void {
  for (const { at, pid } of starts) arena.fault({ name, from: at, until: at + AFTERMATH_MS, pids: [pid] });
}

/** One message misbehaves among innocent ones that are all in flight with it. */
async function misbehave(
  arena: Arena,
  { how, ends, processLives = false, withinMs, siblings = 9, tells, logs, fleet: options }: Case,
): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 1, threads: 2, concurrency: siblings + 1, ...options });
  const before = fleet.workers();
  const innocent = await arena.sendMany(siblings, Slow, () => ({ sleepMs: 4_000 }));
  await waitFor(() => innocent.every(({ value }) => arena.runsOf(value).length > 0), {
    timeoutMs: 20_000,
    what: "all innocents in flight",
  });
  const startedAt = now();
  const { value } = await (how === "glutton" || how === "heap" ? arena.send(Glutton, { where: how }) : arena.send(Poison, { how }));
  await waitFor(async () => (await arena.unfinished()) === 0, { timeoutMs: 90_000, intervalMs: 50, what: "everything to be settled" });
  const settledMs = now() - startedAt;
  // A late error comes after the message has ended.
  await pause(500);
  await fleet.ready();
  const starts = arena.runsOf(value);
  excuse(arena, how, starts);
  const after = fleet.workers();
  const changes = await readChanges(arena.database);
  await fleet.stop();
  const dead = (await arena.deadLetters()).find((letter) => letter.value === value);
  const verdict = await arena.judge();
  if (ends === "handled")
    arena.require(
      arena.runsOf(value, "end").length > 0 && dead === undefined,
      `the message ended as ${dead?.reason ?? "nothing"}, not handled`,
    );
  else arena.require(dead?.reason === ends, `the message ended as ${dead?.reason ?? "handled"}, not ${ends}`);
  if (ends === "crashed") arena.require(starts.length <= 3, `${starts.length} crashes`);
  if (processLives) arena.require(before.join() === after.join(), `the worker process did not live on: ${before} became ${after}`);
  arena.require(fleet.program.exited, "the fleet did not end");
  const told = JSON.stringify(dead?.output ?? null);
  arena.require(tells === undefined || tells.test(told), `the dead letter does not tell ${tells}: ${told}`);
  const named = fleet.program.lines.filter(({ text }) => logs?.test(text) && text.includes(starts[0]?.id ?? "?")).length;
  arena.require(logs === undefined || named > 0, `no line of the log names the message beside ${logs}`);
  const paid = innocent.filter((sent) => arena.runsOf(sent.value).some(({ attempt }) => attempt > 1)).length;
  arena.require(paid === 0, `${paid} innocent messages lost an attempt`);
  arena.require(verdict.deadLettered === (ends === "handled" ? 0 : 1), `${verdict.deadLettered} dead letters`);
  const id = starts[0]?.id;
  const givenUp = changes.filter((change) => change.id === id && change.oldState === "active").map((change) => change.at);
  const took = starts.map(({ at }) => (givenUp.find((time) => time > at) ?? Number.NaN) - at);
  if (withinMs !== undefined)
    arena.requireInTime(
      Math.max(...took),
      withinMs,
      `given up after ${took.map((ms) => round(ms)).join(", ")} ms, allowed are ${withinMs}`,
    );
  return {
    ...summary(verdict),
    runs: starts.length,
    given_up_ms: took.map((ms) => round(ms)).join("/"),
    settled_ms: round(settledMs),
    reason: dead?.reason ?? "",
  };
}

/** Milliseconds that each of the 49 takes: they begin at the same moment, and run again one after the other. */
const INNOCENT_MS = 600;

/** 50 in flight, one of which aborts its process, every time; others work beside them. */
async function abortAmongFifty(arena: Arena): Promise<Figures> {
  // In a thread process.abort() only throws; F14b ends the process from a thread.
  const fleet = await arena.fleet({ processes: 2, threads: 2, concurrency: 80, execution: "inline", flags: ["--batch-size", "60"] });
  let running = true;
  const beside = (async () => {
    for (let due = now(); running; due += 20) {
      await Promise.all([arena.send(Note, { sleepMs: 5 }, { writer: "beside" }), arena.send(Note, { sleepMs: 5 }, { writer: "beside" })]);
      await pause(Math.max(1, due + 20 - now()));
    }
  })();
  await pause(4_000);
  const at = now();
  // In one insert, so that one process claims all of them; the last one of them begins last.
  const [innocent, { value }] = await Promise.all([
    arena.sendMany(49, Slow, () => ({ sleepMs: INNOCENT_MS })),
    arena.send(Poison, { how: "abort" }, { queue: "slow" }),
  ]);
  await waitFor(async () => (await arena.deadLetters()).length > 0, { timeoutMs: 240_000, intervalMs: 50, what: "the dead letter" });
  const until = now();
  running = false;
  await beside;
  await arena.drain(240_000);
  await fleet.stop();
  const starts = arena.runsOf(value);
  excuse(arena, "abort", starts);
  const [dead] = await arena.deadLetters();
  const verdict = await arena.judge();
  const before = besideRate(arena, at - 3_000, at);
  const meanwhile = besideRate(arena, at, until);
  const together = starts[0] === undefined ? 0 : 1 + inFlightBeside(arena, starts[0]);
  const done = innocent.filter((sent) => arena.runsOf(sent.value, "end").length > 0).length;
  const paid = arena.entries().filter((entry) => entry.kind === "start" && entry.value !== value && entry.attempt > 1).length;
  arena.require(done === 49, `${done} of 49 innocents were handled`);
  arena.require(paid === 0, `${paid} runs of innocents had lost an attempt`);
  arena.require(dead?.value === value && dead.reason === "crashed", `the dead letter is ${dead?.value} for ${dead?.reason}`);
  arena.require(verdict.deadLettered === 1, `${verdict.deadLettered} dead letters`);
  arena.require(starts.length <= 3, `${starts.length} crashes`);
  // As time for each of them: neighbours on the machine take from a rate as well.
  arena.requireInTime(1_000 / meanwhile, 1_000 / (before * 0.9), `the others' rate fell from ${round(before)}/s to ${round(meanwhile)}/s`);
  arena.require(together === 50, `${together} were in flight in the process that died, not 50`);
  return {
    ...summary(verdict),
    crashes: starts.length,
    in_its_process: together,
    innocents_done: done,
    until_dead_lettered_ms: round(until - at),
    rate_before: round(before, 1),
    rate_meanwhile: round(meanwhile, 1),
    rate_kept: `${round((meanwhile / before) * 100)} %`,
  };
}

/** Messages a second that others have handled. */
function besideRate(arena: Arena, from: number, to: number): number {
  const ended = arena
    .entries()
    .filter((entry) => entry.kind === "end" && entry.value.startsWith("beside-") && entry.at >= from && entry.at < to);
  return ended.length / ((to - from) / 1_000);
}

/** Slow messages that were under way in the same process when this run began. */
function inFlightBeside(arena: Arena, run: RunEntry): number {
  const under = new Set<string>();
  for (const entry of arena.entries()) {
    if ((entry.kind !== "start" && entry.kind !== "end") || entry.pid !== run.pid || entry.at > run.at) continue;
    if (entry.kind === "end") under.delete(entry.value);
    else if (entry.value !== run.value && !entry.value.startsWith("beside-")) under.add(entry.value);
  }
  return under.size;
}

/** A handler without a thread stops the event loop of its whole worker process. */
async function blockEventLoop(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 2, concurrency: 5, execution: "inline" });
  const innocent = await arena.sendMany(8, Slow, () => ({ sleepMs: 1_000 }));
  await waitFor(() => innocent.every(({ value }) => arena.runsOf(value).length > 0), { timeoutMs: 20_000, what: "all in flight" });
  const at = now();
  const { value } = await arena.send(Poison, { how: "spin" });
  const start = await waitFor(() => arena.runsOf(value)[0], { what: "the loop to be blocked" });
  const ids = await fleet.workerIds([start.pid]);
  await waitFor(async () => (await arena.heldBy(ids)) === 0, { timeoutMs: 30_000, intervalMs: 20, what: "its work to be elsewhere" });
  const backMs = now() - start.at;
  await waitFor(async () => (await arena.unfinished()) === 0, { timeoutMs: 120_000, intervalMs: 100, what: "everything to be settled" });
  const settledMs = now() - at;
  const starts = arena.runsOf(value);
  for (const one of starts) arena.fault({ name: "spin", from: one.at, until: one.at + 12_000, pids: [one.pid] });
  await fleet.stop();
  const dead = (await arena.deadLetters()).find((letter) => letter.value === value);
  const verdict = await arena.judge();
  arena.requireInTime(backMs, 10_000 + 1_000, `its work was back after ${round(backMs)} ms, allowed are 11000`);
  arena.require(starts.length <= 3, `${starts.length} crashes`);
  arena.require(dead?.reason === "crashed", `ended as ${dead?.reason}`);
  return { ...summary(verdict), back_ms: round(backMs), settled_ms: round(settledMs), crashes: starts.length };
}

/** The container is out of memory, and the kernel ends the process that took it: found guilty, and nobody else pays. */
async function runOutOfMemory(arena: Arena): Promise<Figures> {
  const cgroup = makeMemoryCgroup(`symphony-f20-${process.pid}`, MEMORY_BYTES);
  try {
    const figures = await misbehave(arena, { how: "glutton", ends: "crashed", fleet: { cgroup: cgroup.procs } });
    const kills = cgroup.oomKills();
    const [fleet] = arena.fleets;
    const [dead] = await arena.deadLetters();
    const said = JSON.stringify(dead?.output ?? {});
    arena.require(kills >= 1, "the kernel has ended nothing for want of memory");
    arena.require(/memory/.test(said) && /SIGKILL/.test(said), `the dead letter does not name the cause: ${said}`);
    arena.require(
      fleet?.program.lines.some(({ text }) => text.includes("fleet stopped")) === true,
      "the supervisor did not live to the end",
    );
    return { ...figures, oom_kills: kills };
  } finally {
    await arena.processes.end();
    cgroup.remove();
  }
}

interface Short extends Case {
  readonly waits?: number;
}

const one = (id: string, title: string, { waits, ...options }: Short): Row => ({
  ...{ id, title, n: 1, gate: 1, ...(waits === undefined ? {} : { waits }) },
  run: (arena) => misbehave(arena, options),
});

export const crashRows: readonly Row[] = [
  one("F13a", "process.exit(0) in a thread", { how: "exit", ends: "crashed", processLives: true, tells: /process\.exit\(0\)/, waits: 4 }),
  one("F13b", "process.exit(0) in the worker process", {
    ...{ how: "exit", ends: "crashed", tells: /exit code 0 at \d+ MB/ },
    fleet: { execution: "inline" },
    waits: 21,
  }),
  { id: "F14", title: "50 in flight, one calls process.abort() (also F74)", n: 1, gate: 1, waits: 40, run: abortAmongFifty },
  one("F14b", "a handler ends its process with SIGSEGV", {
    ...{ how: "segfault", ends: "crashed", tells: /signal SIGSEGV at \d+ MB/ },
    waits: 23,
  }),
  one("F15", "an error thrown after the handler has ended", {
    ...{ how: "late-throw", ends: "handled", processLives: true, logs: /thrown after the handler had returned/ },
    waits: 4,
  }),
  one("F16", "a rejection that nobody handles", {
    ...{ how: "late-reject", ends: "handled", processLives: true, logs: /rejected after the handler had returned/ },
    waits: 4,
  }),
  one("F17", "for(;;){} in a handler", { how: "spin", ends: "timed_out", processLives: true, withinMs: 2_000 }),
  one("F18", "a handler that never settles", { how: "hang", ends: "timed_out", processLives: true, withinMs: 2_000 }),
  one("F19", "a thread that runs out of heap", {
    ...{ how: "heap", ends: "crashed", processLives: true, tells: /memory/i, waits: 9 },
    fleet: { env: { NODE_OPTIONS: "--max-old-space-size=64" } },
  }),
  {
    id: "F20",
    title: "the kernel ends a worker process for want of memory",
    n: 1,
    gate: 1,
    waits: 24,
    lacks: whyNoMemoryCgroup,
    run: runOutOfMemory,
  },
  { id: "F23", title: "a handler blocks the event loop of its worker process", n: 1, gate: 1, waits: 60, run: blockEventLoop },
];
