import assert from "node:assert/strict";
import { METRICS, prometheusName } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { Effect, Flaky, Note, Poison, Slow } from "../fixtures/messages.ts";
import { elapse, type Fleet, TestBed } from "../support/test-bed.ts";
import type { PanelQuery } from "./dashboards.ts";
import { Prometheus, type Series } from "./prometheus.ts";

export interface Answer {
  readonly query: PanelQuery;
  readonly series: readonly Series[];
}

const ENDED = "messaging_process_duration_seconds_count";
/** Milliseconds in which what was counted has reached the supervisor, and been scraped. */
const SEEN_MS = 10_000;

/**
 * A fleet of two processes works, is killed in part and replaced, while a real Prometheus scrapes it. Its sums must be
 * what the handlers have written down themselves.
 */
export async function scrapeFleet(queries: readonly PanelQuery[]): Promise<{ answers: readonly Answer[]; lines: readonly string[] }> {
  const bed = await TestBed.open({ audit: false });
  try {
    const flags = ["--processes", "2", "--threads", "1", "--concurrency", "10"];
    const fleet = await bed.startFleet({ flags });
    await using prometheus = await Prometheus.start([`127.0.0.1:${fleet.port}`]);
    const lines = await work(bed, fleet, prometheus);
    const answers: Answer[] = [];
    for (const query of queries) answers.push({ query, series: await prometheus.range(query.expr, 90) });
    const missing = await notScraped(prometheus);
    return { answers, lines: [...lines, `metrics that were not there: ${missing.join(", ") || "none"}`] };
  } finally {
    await bed.close();
  }
}

async function work(bed: TestBed, fleet: Fleet, prometheus: Prometheus): Promise<readonly string[]> {
  const agree = async (what: string): Promise<string> => {
    const runs = (): number => [...bed.ended().values()].reduce((sum, count) => sum + count, 0);
    let seen = 0;
    await waitFor(
      async () => {
        seen = await prometheus.sum(`${ENDED}{error_type=""}`);
        return seen === runs();
      },
      { what: `${what}: ${runs()} runs that handlers wrote down`, timeoutMs: SEEN_MS, intervalMs: 200 },
    ).catch((error: Error) => {
      throw new Error(`${error.message}; Prometheus has ${seen}`);
    });
    return `${what}: Prometheus ${seen}, handlers ${runs()}`;
  };
  const lines: string[] = [];
  const round = async (what: string): Promise<void> => {
    await Promise.all([bed.dispatchMany(Note, 300, { sleepMs: 5 }), bed.dispatchMany(Effect, 50)]);
    await bed.drained(60_000);
    lines.push(await agree(what));
  };
  await round("two processes");
  process.kill(fleet.workerPids()[0] ?? 0, "SIGKILL");
  await waitFor(() => fleet.workerPids().length === 2, { what: "a new process", timeoutMs: 20_000 });
  await round("after kill -9 of one");
  const before = fleet.workerPids();
  process.kill(fleet.process.pid, "SIGHUP");
  await waitFor(() => before.every((pid) => !fleet.workerPids().includes(pid)), { what: "replaced processes", timeoutMs: 30_000 });
  await round("after SIGHUP");
  lines.push(...(await failures(bed, prometheus)));
  await bed.dispatchMany(Slow, 20, { sleepMs: 3_000 });
  // The gauges of a queue are asked for every ten seconds.
  await elapse(12_000);
  await bed.drained(60_000);
  return lines;
}

async function failures(bed: TestBed, prometheus: Prometheus): Promise<readonly string[]> {
  await Promise.all([bed.dispatchMany(Flaky, 20, { failures: 1 }), bed.dispatchMany(Flaky, 5, { failures: 9 })]);
  await bed.dispatchMany(Poison, 1, { how: "exit-1" });
  await bed.drained(60_000);
  const [retries, dead] = ["symphony_message_retries_total", "symphony_message_dead_letters_total"];
  const { length: inTable } = await bed.deadLetters();
  await waitFor(async () => (await prometheus.sum(dead)) === inTable, { what: `${inTable} dead letters counted`, timeoutMs: SEEN_MS });
  const again = await prometheus.sum(`${retries}{messaging_destination_name="default"}`);
  assert.equal(again, 20 + 5 * 3, "each of 20 messages failed once, each of 5 was tried three more times");
  const crashes = await prometheus.sum("symphony_message_crashes_total");
  assert.ok(crashes >= 1, "the poison was counted");
  return [`dead letters: Prometheus ${inTable}, table ${inTable}; retries ${again}; crashes ${crashes}`];
}

/** Names that a working fleet does not show; each can only be seen when what it counts happens. */
async function notScraped(prometheus: Prometheus): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const definition of Object.values(METRICS)) {
    const name = prometheusName(definition) + (definition.kind === "histogram" ? "_count" : "");
    if ((await prometheus.instant(`count(${name})`)).length === 0) missing.push(name);
  }
  // The fixtures have no schedules, and handlers that send nothing.
  const elsewhere = /^(symphony_schedule_|messaging_client_sent_messages_total$)/;
  assert.deepEqual(
    missing.filter((name) => !elsewhere.test(name)),
    [],
    "every other metric is there",
  );
  return missing;
}
