import { isGroupable, isListable, isRedrivable, type Messenger, type Redrive, stamps } from "@symphony/core";
import { pause, testEnvelope, waitFor } from "@symphony/core/testing";
import type { RunningProcess } from "../support/processes.ts";
import type { TestBed } from "../support/test-bed.ts";

/** Three bugs, of about as many dead letters each; the first is repaired. */
const BUGS = ["1".repeat(16), "2".repeat(16), "3".repeat(16)] as const;
const REPAIRED = BUGS[0];
const AT_ONCE = 500;
const GROUPS_ASKED = 50;
/** Milliseconds between two looks at how far a redrive is. */
const LOOK_EVERY_MS = 50;

export interface TrialOptions {
  /** Dead letters in all. */
  readonly letters: number;
  /** Per second. */
  readonly rate: number;
}

export interface TrialFigures {
  /** Milliseconds of 50 questions for the groups: the median, and the 95th of a hundred. */
  readonly groupsMs: { readonly median: number; readonly p95: number };
  readonly groups: readonly (readonly [fingerprint: string, count: number])[];
  /** Dead letters per second: before the kill, and after the redrive was taken up again. */
  readonly rates: readonly number[];
  readonly doneWhenKilled: number;
  readonly redrive: Redrive;
  /** Values of the repaired bug's messages, and how often each was handled. */
  readonly handled: ReadonlyMap<string, number>;
  readonly values: readonly string[];
  /** Dead letters that are left, by bug. */
  readonly left: readonly (readonly [fingerprint: string, count: number])[];
}

/**
 * Dead-letters many messages, groups them, and redrives one group by `symphony failed retry --rate`, while a fleet
 * handles what comes. The process that does it is killed in the middle; the same command, given again, goes on.
 */
export async function redriveTrial(bed: TestBed, { letters, rate }: TrialOptions): Promise<TrialFigures> {
  const values = await makeDeadLetters(bed, letters);
  const groupsMs = await timeGroups(bed.messenger);
  const groups = await groupsOf(bed.messenger);
  await bed.startFleet({
    flags: ["--processes", "1", "--concurrency", "50", "--batch-size", "100"],
    env: { SYMPHONY_TEST_EXECUTION: "inline" },
  });
  const first = retry(bed, rate);
  const begun = await waitFor(async () => (await redrivesOf(bed.messenger).list({ limit: 1 })).redrives[0], {
    what: "a redrive",
    timeoutMs: 30_000,
  });
  const before = await watch(bed.messenger, begun.id, (redrive) => redrive.done >= values.length / 2);
  first.signal("SIGKILL");
  await first.waitForExit(5_000);
  const doneWhenKilled = (await redrivesOf(bed.messenger).get(begun.id))?.done ?? 0;
  const second = retry(bed, rate);
  await watch(bed.messenger, begun.id, (redrive) => redrive.done > doneWhenKilled);
  const after = await watch(bed.messenger, begun.id, (redrive) => redrive.state !== "running");
  const { code } = await second.waitForExit(30_000);
  if (code !== 0) throw new Error(`the second process ended with ${code}:\n${second.lines.map(({ text }) => text).join("\n")}`);
  await bed.drained(120_000);
  return {
    groupsMs,
    groups,
    rates: [before, after].map((samples) => rateOf(samples)),
    doneWhenKilled,
    redrive: after.at(-1) as Redrive,
    handled: bed.ended(),
    values,
    left: await groupsOf(bed.messenger),
  };
}

const retry = (bed: TestBed, rate: number): RunningProcess =>
  bed.processes.symphony(
    ["failed", "retry", "--all", "--fingerprint", REPAIRED, "--rate", `${rate}/s`, "--force", "--config", bed.configFile],
    { env: bed.environment() },
  );

/** Sends, receives and rejects through the transport, as a worker does it; resolves with the values of the repaired bug's messages. */
async function makeDeadLetters(bed: TestBed, letters: number): Promise<string[]> {
  const transport = bed.messenger.transport("default");
  const workerId = bed.messenger.runtime.newId();
  const values: string[] = [];
  let made = 0;
  while (made < letters) {
    const count = Math.min(AT_ONCE, letters - made);
    const batch = Array.from({ length: count }, (_, i) => ({ value: bed.value(), bug: (made + i) % BUGS.length }));
    await transport.send(batch.map(({ value, bug }) => testEnvelope("test.note", { value }, [stamps.headers({ bug: String(bug) })])));
    for (let left = count; left > 0; ) {
      const received = await transport.receive(left, { workerId, queues: ["default"] });
      await transport.reject(
        received.map(({ receipt, envelope }) => ({ receipt, deadLetter: failure(bugOf(envelope?.last(stamps.headers))) })),
      );
      left -= received.length;
    }
    values.push(...batch.filter(({ bug }) => bug === 0).map(({ value }) => value));
    made += count;
  }
  return values;
}

const bugOf = (headers: Readonly<Record<string, string>> | undefined): number => Number(headers?.bug ?? 0);

const failure = (bug: number) => ({
  reason: "retries_exhausted" as const,
  error: { name: "Error", message: `bug ${bug} has struck`, stack: `Error: bug ${bug}\n${"    at handle (handlers.ts:1:1)\n".repeat(20)}` },
  fingerprint: BUGS[bug] ?? "",
  attempts: 4,
  workerId: "trial",
});

async function groupsOf(messenger: Messenger): Promise<[string, number][]> {
  const transport = messenger.transport("default");
  if (!isGroupable(transport)) throw new Error("the transport cannot group");
  const { groups } = await transport.groupDeadLetters({}, 10);
  return groups.map(({ fingerprint, count }): [string, number] => [fingerprint, count]).sort();
}

async function timeGroups(messenger: Messenger): Promise<TrialFigures["groupsMs"]> {
  const { clock } = messenger.runtime;
  const times: number[] = [];
  for (let asked = 0; asked < GROUPS_ASKED; asked++) {
    const at = clock.monotonic();
    await groupsOf(messenger);
    times.push(clock.monotonic() - at);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => Math.round(times[Math.floor((times.length - 1) * share)] ?? 0);
  return { median: at(0.5), p95: at(0.95) };
}

function redrivesOf(messenger: Messenger) {
  const transport = messenger.transport("default");
  if (!isRedrivable(transport) || !isListable(transport)) throw new Error("the transport cannot redrive");
  return transport.redrives;
}

/** Looks at a redrive until it is so far; resolves with what was seen, each step once. */
async function watch(messenger: Messenger, id: string, until: (redrive: Redrive) => boolean): Promise<readonly Redrive[]> {
  const seen: Redrive[] = [];
  for (const deadline = messenger.runtime.clock.monotonic() + 300_000; messenger.runtime.clock.monotonic() < deadline; ) {
    const redrive = await redrivesOf(messenger).get(id);
    if (redrive !== undefined && redrive.done !== seen.at(-1)?.done) seen.push(redrive);
    if (redrive !== undefined && until(redrive)) return [...seen, redrive];
    await pause(LOOK_EVERY_MS);
  }
  throw new Error(`the redrive ${id} did not come so far in five minutes: ${JSON.stringify(seen.at(-1))}`);
}

/** By the database's clock, from the first step that was seen to the last. */
function rateOf(samples: readonly Redrive[]): number {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) return Number.NaN;
  return ((last.done - first.done) * 1_000) / (Date.parse(last.updatedAt) - Date.parse(first.updatedAt));
}

/** What speaks against the figures; empty: nothing. */
export function objections(figures: TrialFigures, { letters, rate }: TrialOptions): string[] {
  const { groups, groupsMs, rates, doneWhenKilled, redrive, handled, values, left } = figures;
  const size = (bug: number): number => Math.ceil((letters - bug) / BUGS.length);
  const all = BUGS.map((fingerprint, bug) => [fingerprint, size(bug)]);
  const found: string[] = [];
  const demand = (fact: boolean, otherwise: string): void => void (fact || found.push(otherwise));
  demand(JSON.stringify(groups) === JSON.stringify(all), `groups ${JSON.stringify(groups)}`);
  demand(groupsMs.p95 <= 300, `groups took ${groupsMs.p95} ms`);
  demand(doneWhenKilled > 0 && doneWhenKilled < values.length, `it was killed at ${doneWhenKilled}, not in the middle`);
  for (const each of rates) demand(Math.abs(each - rate) <= rate * 0.1, `${each.toFixed(1)}/s where ${rate}/s were asked for`);
  demand(redrive.state === "done" && redrive.done === values.length && redrive.conflicts === 0, `it ended as ${JSON.stringify(redrive)}`);
  const missing = values.filter((value) => handled.get(value) === undefined);
  const twice = [...handled].filter(([, times]) => times > 1);
  demand(missing.length === 0, `${missing.length} were not handled, ${missing[0]} among them`);
  demand(twice.length === 0, `${twice.length} were handled more than once, ${twice[0]?.[0]} among them`);
  demand(handled.size === values.length, `${handled.size} messages were handled, ${values.length} were meant`);
  demand(JSON.stringify(left) === JSON.stringify(all.slice(1)), `left: ${JSON.stringify(left)}`);
  return found;
}
