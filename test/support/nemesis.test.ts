import assert from "node:assert/strict";
import { test } from "node:test";
import { runNemesis, type Trouble } from "./nemesis.ts";
import { seeded } from "./random.ts";

function recorded(names: readonly string[]): { troubles: Trouble[]; open: Set<string>; log: string[] } {
  const open = new Set<string>();
  const log: string[] = [];
  const troubles = names.map((name) => ({
    name,
    inject: () => {
      open.add(name);
      log.push(`+${name}`);
      return Promise.resolve(() => {
        open.delete(name);
        log.push(`-${name}`);
      });
    },
  }));
  return { troubles, open, log };
}

test("a seed repeats its troubles, every one gets its turn, and some periods are quiet", async () => {
  const run = async (seed: number): Promise<readonly string[]> => {
    const { troubles } = recorded(["kill", "cut", "restart"]);
    const periods = await runNemesis({ random: seeded(seed), troubles, periods: 60, wait: () => Promise.resolve() });
    return periods.map((period) => period.troubles.join("+"));
  };
  const history = await run(7);
  assert.deepEqual(history, await run(7));
  assert.notDeepEqual(history, await run(8));
  for (const name of ["kill", "cut", "restart", ""]) assert.ok(history.includes(name), `never: ${name || "quiet"}`);
});

test("everything is undone at the end of its period, also when one cannot be made", async () => {
  const { troubles, open, log } = recorded(["cut"]);
  await runNemesis({
    random: seeded(1),
    troubles,
    periods: 20,
    wait: () => {
      log.push("wait");
      return Promise.resolve();
    },
  });
  assert.equal(open.size, 0);
  assert.match(log.join(" "), /\+cut wait -cut/);
  const broken: Trouble = { name: "broken", inject: () => Promise.reject(new Error("cannot")) };
  const both = {
    random: { ...seeded(1), next: () => 0.9, subset: <T>(from: readonly T[]) => [...from] },
    periods: 1,
    wait: () => Promise.resolve(),
  };
  await assert.rejects(runNemesis({ ...both, troubles: [...troubles, broken] }), /cannot/);
  assert.equal(open.size, 0);
});
