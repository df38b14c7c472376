import type { DispatchItem } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { Flaky, Note, Odd } from "../../fixtures/messages.ts";
import { now, type RunEntry } from "../../support/journal.ts";
import { type Arena, type Sent, summary } from "../arena.ts";
import { round, spread } from "../figures.ts";
import type { Figures, Row } from "../row.ts";

/** Milliseconds beyond its delay after which a message has to run: the poll interval, and what a busy machine adds. */
const LATE_MS = 1_500;

const gaps = (runs: readonly RunEntry[]): number[] => runs.slice(1).map(({ at }, i) => at - (runs[i] as RunEntry).at);

function requireSchedule(arena: Arena, value: string, delays: readonly number[]): number[] {
  const runs = arena.runsOf(value);
  const found = gaps(runs);
  arena.require(runs.length === delays.length + 1, `${value} ran ${runs.length} times, not ${delays.length + 1}`);
  arena.require(
    runs.every(({ attempt }, i) => attempt === i + 1),
    `${value} counted its attempts ${runs.map(({ attempt }) => attempt)}`,
  );
  const late = found.map((gap, i) => gap - (delays[i] ?? 0));
  const told = `${value} ran again after ${found.map((gap) => round(gap))} ms, planned were ${delays}`;
  arena.require(
    late.every((ms) => ms >= 0),
    told,
  );
  arena.requireInTime(Math.max(0, ...late), LATE_MS, told);
  return late;
}

/** `test.flaky` retries three times, after 100, 200 and 400 ms. */
const PLAN = [100, 200, 400];

async function alwaysThrow(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 2 });
  const sent = await arena.sendMany(20, Flaky, () => ({ failures: 99 }));
  await arena.drain();
  await fleet.stop();
  const late = sent.flatMap(({ value }) => requireSchedule(arena, value, PLAN));
  for (const { value, reason, data, output } of await arena.deadLetters()) {
    const history = data.history as readonly { attempt: number; error: { message: string } }[] | undefined;
    const told = (history ?? []).every(
      ({ attempt, error }, i) => attempt === i + 1 && error.message.startsWith(`attempt ${i + 1} of ${value}`),
    );
    arena.require(reason === "retries_exhausted" && output?.attempts === 4, `${value}: ${reason} after ${output?.attempts} attempts`);
    arena.require(history?.length === 4 && told, `${value} has the history ${JSON.stringify(history)}`);
  }
  const verdict = await arena.judge();
  arena.require(verdict.deadLettered === sent.length, `${verdict.deadLettered} of ${sent.length} became dead letters`);
  return { ...summary(verdict), ...spread("late", late) };
}

async function throwTyped(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 1 });
  const hopeless = await arena.sendMany(5, Flaky, () => ({ failures: 99, how: "unrecoverable" as const }));
  // More failures than there are retries: a recoverable error is always retried, and says when.
  const patient = await arena.sendMany(5, Flaky, () => ({ failures: 5, how: "recoverable" as const, delayMs: 700 }));
  await arena.drain();
  await fleet.stop();
  const late = patient.flatMap(({ value }) =>
    requireSchedule(
      arena,
      value,
      Array.from({ length: 5 }, () => 700),
    ),
  );
  for (const { value } of hopeless) requireSchedule(arena, value, []);
  const dead = await arena.deadLetters();
  const verdict = await arena.judge();
  arena.require(
    dead.length === hopeless.length && dead.every(({ reason }) => reason === "unrecoverable"),
    `the dead letters are for ${dead.map(({ reason }) => reason)}`,
  );
  arena.require(
    patient.every(({ value }) => arena.runsOf(value, "end").length === 1),
    "not all that were recoverable were handled",
  );
  return { ...summary(verdict), ...spread("late", late) };
}

/** Times that are none, or lie where a timer overflows. `refused` names the field; otherwise accepted and not before its time. */
const TIMES: readonly { readonly options: Readonly<Record<string, unknown>>; readonly refused?: string; readonly due?: true }[] = [
  { options: { delayMs: -1 }, refused: "delayMs" },
  { options: { delayMs: Number.NaN }, refused: "delayMs" },
  { options: { delayMs: Number.POSITIVE_INFINITY }, refused: "delayMs" },
  { options: { delayMs: "5" }, refused: "delayMs" },
  { options: { delayMs: 400 * 86_400_000 }, refused: "delayMs" },
  { options: { scheduledAt: "9999-12-31T23:59:59Z" }, refused: "scheduledAt" },
  { options: { scheduledAt: new Date(8.64e15) }, refused: "scheduledAt" },
  { options: { scheduledAt: new Date(Number.NaN) }, refused: "scheduledAt" },
  { options: { scheduledAt: "tomorrow" }, refused: "scheduledAt" },
  { options: { delayMs: 2 ** 31 + 1_000 } },
  { options: { scheduledAt: new Date(Date.now() + 300 * 86_400_000) } },
  { options: { delayMs: 0 }, due: true },
  { options: { scheduledAt: "0001-01-01T00:00:00Z" }, due: true },
  { options: { scheduledAt: new Date(0) }, due: true },
];

async function delayOddly(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 1 });
  const early: Sent[] = [];
  for (const { options, refused, due } of TIMES) {
    const sent = await arena.send(Note, {}, options);
    const named = String(sent.error?.details.path ?? "");
    const { code = "accepted" } = sent.error ?? {};
    if (refused !== undefined)
      arena.require(code === "DISPATCH_OPTIONS_INVALID" && named === refused, `${JSON.stringify(options)}: ${code} ${named}`);
    else arena.require(sent.id !== undefined, `${JSON.stringify(options)} was refused: ${sent.error?.message}`);
    if (refused === undefined && due === undefined) early.push(sent);
    if (due === true)
      await waitFor(() => arena.runsOf(sent.value, "end").length > 0, { timeoutMs: 5_000, what: `${JSON.stringify(options)} to run` });
  }
  // A retry that overflows a timer, too.
  early.push(await arena.send(Flaky, { failures: 1, how: "recoverable", delayMs: 2 ** 40 }));
  const retried = early.at(-1)?.value ?? "";
  await waitFor(() => arena.runsOf(retried, "threw").length === 1, { what: "the first attempt to fail" });
  const at = now();
  await waitFor(() => now() - at > 2_500, { what: "two polls" });
  const began = early.filter(({ value }) => arena.runsOf(value).length > (value === retried ? 1 : 0)).length;
  arena.require(began === 0, `${began} messages ran before their time`);
  // They are there, and run when their time has come.
  await arena.database.query("UPDATE symphony.job SET start_after = now(), created_on = now() WHERE state IN ('created', 'retry')");
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  arena.require(verdict.deadLettered === 0, `${verdict.deadLettered} dead letters`);
  return { ...summary(verdict), kinds: TIMES.length, refused: verdict.refused, early: began };
}

interface Element {
  readonly value: string;
  readonly item: DispatchItem;
  readonly ends: "refused" | "dead" | "handled";
}

/** A batch with bad elements at its ends and in its middle, and some whose handler throws. */
function makeBatch(size: number): readonly Element[] {
  const middle = Math.floor(size / 2);
  const bad = new Map<number, DispatchItem>([
    [0, { type: Note, payload: { value: 7 } }],
    [middle, { type: Odd, payload: { value: `batch-${middle}`, throws: "\u0000" } }],
    [size - 1, { type: Note, payload: null }],
  ]);
  const throwing = new Set([1, 2, Math.floor(size / 3), size - 2]);
  return Array.from({ length: size }, (_, i): Element => {
    const value = `batch-${i}`;
    const spoilt = bad.get(i);
    if (spoilt !== undefined) return { value, item: spoilt, ends: "refused" };
    if (throwing.has(i)) return { value, item: { type: Odd, payload: { value, throws: "string" } }, ends: "dead" };
    return { value, item: { type: Note, payload: { value } }, ends: "handled" };
  });
}

async function dispatchBatch(arena: Arena, batch: readonly Element[]): Promise<void> {
  for (const { value } of batch) arena.journal.write({ kind: "invoke", value, at: now() });
  const results = await arena.messenger.dispatchMany(batch.map(({ item }) => item));
  arena.require(results.length === batch.length, `${results.length} results for ${batch.length} elements`);
  for (const [i, { value, ends }] of batch.entries()) {
    const result = results[i];
    if (result === undefined) continue;
    const refused = "error" in result;
    if (refused) arena.journal.write({ kind: "refused", value, error: result.error.code, at: now() });
    else arena.journal.write({ kind: "ok", value, id: result.messageId, at: now() });
    arena.require(refused === (ends === "refused"), `element ${i} was ${refused ? `refused: ${result.error.message}` : "accepted"}`);
  }
}

/** Batches of none, one and thousands, with bad elements in them: each element stands for itself. */
async function spoilBatches(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 2, concurrency: 50, flags: ["--batch-size", "200"] });
  const batch = makeBatch(arena.n);
  const single: Element = { value: "single-0", item: { type: Note, payload: { value: "single-0" } }, ends: "handled" };
  await dispatchBatch(arena, []);
  await dispatchBatch(arena, [single]);
  const startedAt = now();
  await dispatchBatch(arena, batch);
  const dispatchMs = now() - startedAt;
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  const count = (ends: Element["ends"]): number => [single, ...batch].filter((element) => element.ends === ends).length;
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} ran again beside those that failed`);
  arena.require(verdict.deadLettered === count("dead"), `${verdict.deadLettered} dead letters for ${count("dead")} that throw`);
  arena.require(verdict.handled === count("handled"), `${verdict.handled} of ${count("handled")} were handled`);
  return { ...summary(verdict), refused: verdict.refused, dispatch_ms: round(dispatchMs) };
}

export const outcomeRows: readonly Row[] = [
  { id: "F63", title: "delays that are none, lie in the past, or overflow a timer", n: 1, gate: 1, waits: 4, run: delayOddly },
  { id: "F75", title: "a handler that always throws", n: 1, gate: 1, waits: 4, run: alwaysThrow },
  { id: "F77", title: "errors that say what to do", n: 1, gate: 1, waits: 7, run: throwTyped },
  { id: "F84", title: "bad elements in a batch (n messages)", n: 10_000, gate: 10_000, run: spoilBatches },
];
