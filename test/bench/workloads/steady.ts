import { compete, type Entry, type Sample } from "../compete.ts";
import type { Settings } from "../contestant.ts";
import { loadContestant } from "../contestants.ts";
import type { Context } from "../context.ts";
import type { Section, Workload } from "../workload.ts";
import { live } from "./latency.ts";
import { GRAPHILE, INLINE, PGBOSS } from "./settings.ts";

const WHO: Readonly<Record<string, { settings: Settings; label: string; notify?: boolean }>> = {
  ours: { settings: INLINE, label: "batch 1000, concurrency 1000" },
  threads: { settings: { ...INLINE, execution: "thread" }, label: "1 thread, batch 1000, concurrency 1000" },
  graphile: { settings: GRAPHILE, label: "24 jobs, local queue 500" },
  pgboss: { settings: { ...PGBOSS, notify: true }, notify: true, label: "batch 1000, localConcurrency 2, notify" },
  bullmq: { settings: { concurrency: 200 }, label: "concurrency 200" },
};

const SHARE = 0.7;

/** First as much as goes through, then 70 % of that: how late messages are when there is always something to do. */
async function measure(context: Context, name: string): Promise<Sample> {
  const who = WHO[name];
  if (who === undefined) throw new Error(`no settings for ${name}`);
  const order = { name, ...who, most: 1_000_000 };
  const ms = context.quick ? 1_000 : 3_000;
  const flatOut = await live(context, { ...order, phase: { kind: "flat-out", inFlight: 2, size: 200, ms } });
  // What was sent while the consumer fell behind does not count as sustained: it had to be caught up.
  const sustained = ((flatOut.perSecond ?? 0) * ms) / (ms + (flatOut.max ?? 0));
  const steady = await live(context, { ...order, phase: { kind: "rate", perSecond: sustained * SHARE, ms } });
  return { ...steady, sustained };
}

async function run(context: Context): Promise<readonly Section[]> {
  const entries: Entry[] = [];
  for (const [name, { label }] of Object.entries(WHO)) {
    if (context.only !== undefined && !["ours", "threads", ...context.only].includes(name)) continue;
    entries.push({ key: name, title: (await loadContestant(name)).title, label, run: () => measure(context, name) });
  }
  const standings = await compete(context, entries, { pairs: 2, budgetMs: 100_000 });
  const about =
    "One process sends groups every 10 ms while another consumes, at 70 % of what each contestant can sustain (found first, flat out). Latency is from sending to the start of the handler.";
  const figures = { sustained: "sustained (messages/s)", perSecond: "at 70 % (messages/s)", p50: "p50 (ms)", p99: "p99 (ms)" };
  return [{ id: "steady", title: "Steady state at 70 % load", about, figure: "sustained", figures, standings, goals: [] }];
}

export const steady: Workload = { name: "steady", title: "steady state at 70 % load", seconds: 110, run };
