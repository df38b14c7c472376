import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createMessenger } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import orderConfig, { Step } from "../fixtures/order.config.ts";
import { testBed } from "../support/in-test.ts";
import type { RunEntry } from "../support/journal.ts";
import { freshSeed, seeded } from "../support/random.ts";

const CONFIG = fileURLToPath(new URL("../fixtures/order.config.ts", import.meta.url));
const KEYS = ["a", "b", "c", "d", "e", "f", "g", "h"];
const PER_KEY = 40;
const KILLS = 5;

test("handles each partition key strictly in order, over two fleets whose workers are killed, with retries and prefetch", {
  timeout: 180_000,
}, async (t) => {
  const random = seeded(freshSeed());
  t.diagnostic(`seed ${random.seed}`);
  const bed = await testBed(t);
  const transports = { default: { dsn: bed.database.connectionString } };
  const messenger = await createMessenger({ ...orderConfig, transports });
  t.after(() => messenger.close());
  const flags = [
    "--processes",
    "2",
    "--threads",
    "1",
    "--concurrency",
    "8",
    "--batch-size",
    "20",
    "--poll-interval",
    "200",
    "--health-port",
    "0",
  ];
  for (let i = 0; i < 2; i++) bed.processes.symphony(["consume", "--config", CONFIG, "--json", ...flags], { env: bed.environment() });

  const send = async (from: number, to: number): Promise<void> => {
    const numbers = Array.from({ length: to - from }, (_, i) => from + i);
    const items = numbers.flatMap((n) =>
      KEYS.map((key) => ({
        type: Step,
        payload: { value: `${key}-${n}`, sleepMs: random.integer(5, 25), failures: random.next() < 0.1 ? random.integer(1, 2) : 0 },
        options: { priority: random.integer(1, 10) },
      })),
    );
    const results = await messenger.dispatchMany(items);
    assert.ok(results.every((result) => !("error" in result)));
  };
  await send(0, PER_KEY / 2);
  const runs = (): RunEntry[] => bed.entries().filter((entry): entry is RunEntry => ["start", "end", "threw"].includes(entry.kind));
  const ended = (): number => runs().filter((entry) => entry.kind === "end").length;
  const killed = new Set<number>();
  for (let kill = 1; kill <= KILLS; kill++) {
    await waitFor(() => ended() >= kill * 20, { what: `${kill * 20} messages`, timeoutMs: 60_000, intervalMs: 20 });
    if (kill === 2) await send(PER_KEY / 2, PER_KEY);
    const inHandlers = (): number[] => openRuns(runs()).filter((pid) => !killed.has(pid));
    const open = await waitFor(() => inHandlers().length > 0 && inHandlers(), { what: "a process in a handler", intervalMs: 2 });
    const victim = random.pick(open);
    killed.add(victim);
    process.kill(victim, "SIGKILL");
  }
  await waitFor(() => bed.unfinished().then((n) => n === 0), { what: "an empty queue", timeoutMs: 90_000, intervalMs: 100 });
  assert.equal(killed.size, KILLS, "each time somebody was killed in the middle of a handler");
  assert.deepEqual(await bed.deadLetters(), []);
  for (const key of KEYS) assertInOrder(key, runs(), killed);
});

/** Processes that are inside a handler. */
function openRuns(runs: readonly RunEntry[]): number[] {
  const open = new Map<string, number>();
  for (const run of runs) {
    if (run.kind === "start") open.set(run.value, run.pid);
    else open.delete(run.value);
  }
  return [...new Set(open.values())];
}

/** No run begins while another one of the key goes on, and none before the messages ahead of it were handled. */
function assertInOrder(key: string, runs: readonly RunEntry[], killed: ReadonlySet<number>): void {
  const own = runs.filter((run) => run.value.startsWith(`${key}-`)).sort((a, b) => a.at - b.at);
  let next = 0;
  let running: RunEntry | undefined;
  for (const run of own) {
    const number = Number(run.value.split("-")[1]);
    if (run.kind === "start") {
      assert.ok(running === undefined || killed.has(running.pid), `${run.value} begins while ${running?.value} runs`);
      // What was handled in the moment before its process was killed runs once more.
      assert.ok(number === next || (number === next - 1 && killed.size > 0), `${run.value} begins, and it is the turn of ${key}-${next}`);
      running = run;
    } else {
      running = undefined;
      if (run.kind === "end") next = Math.max(next, number + 1);
    }
  }
  assert.equal(next, PER_KEY, `all of key ${key} were handled`);
}
