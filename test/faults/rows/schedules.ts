import { killSchedulers } from "../../support/kill-schedulers.ts";
import type { Arena } from "../arena.ts";
import type { Figures, Row } from "../row.ts";

/** The process that sees to a schedule is killed at the tick, at every statement of its run in turn. */
async function killAtTheTick(arena: Arena): Promise<Figures> {
  const { kills, due, dispatched, lost, doubled, counted } = await killSchedulers({
    database: arena.database,
    processes: arena.processes,
    kills: arena.n,
  });
  arena.require(lost.length === 0, `due times that were not dispatched: ${lost.join(", ")}`);
  arena.require(doubled.length === 0, `due times that were dispatched twice: ${doubled.join(", ")}`);
  arena.require(counted === dispatched, `the schedule counts ${counted} runs, there are ${dispatched} messages`);
  return { kills, due, dispatched, lost: lost.length, doubled: doubled.length };
}

export const scheduleRows: readonly Row[] = [
  { id: "F60", title: "the scheduling process dies at the tick", n: 100, gate: 22, waits: 8, run: killAtTheTick },
];
