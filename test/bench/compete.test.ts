import assert from "node:assert/strict";
import { test } from "node:test";
import { compete, type Entry, ratioBetween } from "./compete.ts";
import { contextOf } from "./context.ts";
import { plot } from "./plot.ts";
import { goalLines, sectionMarkdown } from "./report.ts";
import { goal, type Section } from "./workload.ts";

const context = contextOf({ connectionString: "", release: () => Promise.resolve() });
const always = { pairs: 4, budgetMs: 60_000 };

function entry(key: string, run: (round: number) => number, log: string[] = []): Entry {
  let round = 0;
  return {
    key,
    title: key,
    label: "as documented",
    run() {
      log.push(key);
      return Promise.resolve({ perSecond: run(round++) });
    },
  };
}

test("every other round runs backwards", async () => {
  const log: string[] = [];
  await compete(context, [entry("a", () => 1, log), entry("b", () => 1, log)], { ...always, pairs: 3 });
  assert.deepEqual(log, ["a", "b", "b", "a", "a", "b"]);
});

test("who takes part in fewer rounds leaves the others to go on", async () => {
  const log: string[] = [];
  const [a, b] = await compete(context, [entry("a", () => 1, log), { ...entry("b", () => 2, log), rounds: 2 }], always);
  assert.deepEqual(log, ["a", "b", "b", "a", "a", "a"]);
  assert.deepEqual([a?.samples.length, b?.samples.length], [4, 2]);
  assert.equal(ratioBetween(b, a, "perSecond")?.median, 2);
});

test("no round begins that would end after its time, but the first one", async () => {
  const log: string[] = [];
  await compete(context, [entry("a", () => 1, log)], { pairs: 5, budgetMs: -1 });
  assert.deepEqual(log, ["a"]);
});

test("what is filled once for all rounds does not use up their time", async () => {
  const log: string[] = [];
  const entryThatFills = entry(
    "a",
    (round) => {
      if (round === 0) context.spent.fillingMs += 60_000;
      return 1;
    },
    log,
  );
  await compete(context, [entryThatFills], { pairs: 3, budgetMs: 30_000 });
  assert.deepEqual(log, ["a", "a", "a"]);
});

test("who fails is left out from there on, and its earlier rounds still count in pairs", async () => {
  const failing = (round: number): number => {
    if (round === 2) throw new Error("lost 3 messages");
    return 10;
  };
  const standings = await compete(context, [entry("ours", (round) => [30, 20, 50, 70][round] ?? 0), entry("theirs", failing)], always);
  assert.equal(standings[1]?.failure, "lost 3 messages");
  assert.deepEqual(ratioBetween(standings[0], standings[1], "perSecond"), { median: 2.5, min: 2, max: 3, pairs: 2 });
});

test("the report tells which goals are met, and what was not measured", async () => {
  const standings = await compete(context, [entry("Symphony", () => 30), entry("theirs", () => 10)], always);
  const goals = [
    goal("over theirs", standings, ["Symphony", "theirs"], 2),
    goal("of theirs", standings, ["theirs", "Symphony"], 0.5),
    goal("over nobody", standings, ["Symphony", "nobody"], 1),
  ];
  const section: Section = {
    id: "x",
    title: "Drain",
    about: "No-ops.",
    figure: "perSecond",
    figures: { perSecond: "messages/s" },
    standings,
    goals,
  };
  const text = sectionMarkdown(section);
  assert.match(text, /\| over theirs \| 3\.00 × \| 3\.00 × \| 3\.00 × \| ≥ 2 \| met \|/);
  assert.match(text, /\| of theirs \| 0\.33 × .*\*\*not met\*\*/);
  assert.match(text, /\| over nobody \| – \| – \| – \| ≥ 1 \| not measured \|/);
  const workloads = { drain: { title: "drain", seconds: 1, load: [0, 0] as const, sections: [section] } };
  assert.equal(goalLines({ workloads }).length, 3);
  assert.match(plot({ ...section, title: "a < b & c" }), /^<svg [^>]*>\n[\s\S]*a &lt; b &amp; c[\s\S]*<\/svg>\n$/);
});
