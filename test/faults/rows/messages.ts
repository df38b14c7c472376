import { pause, waitFor } from "@symphony/core/testing";
import { Echo, Note, Odd, Slow, Unknown } from "../../fixtures/messages.ts";
import { ODD_RETURNS, ODD_THROWS } from "../../fixtures/misbehaviour.ts";
import { readClaims } from "../../support/audit-trigger.ts";
import { type Arena, summary } from "../arena.ts";
import { quantile, round, spread } from "../figures.ts";
import type { Figures, Row } from "../row.ts";

/** Bytes of a stored error as JSON (design, section 6). */
const LARGEST_ERROR = 16_384;

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** Deliveries of one message, by the database's own record. */
async function deliveriesOf(arena: Arena, ids: ReadonlySet<string>): Promise<number> {
  return (await readClaims(arena.database)).filter(({ id }) => ids.has(id)).length;
}

/** Whatever is thrown, the message ends as decided, with an error that can be read; nothing dies of it. */
async function throwOddly(arena: Arena): Promise<Figures> {
  const executions = ["thread", "inline"] as const;
  let largest = 0;
  for (const execution of executions) {
    const fleet = await arena.fleet({ processes: 1, execution });
    const pids = fleet.workers().join();
    for (const kind of ODD_THROWS) await arena.send(Odd, { throws: kind }, { writer: execution });
    await arena.drain();
    arena.require(fleet.workers().join() === pids, `a worker process did not live on (${execution})`);
    arena.require(fleet.logged(/thread died|process died/) === 0, `something died (${execution})`);
    await fleet.stop();
  }
  const dead = await arena.deadLetters();
  for (const { value, reason, output } of dead) {
    const error = output?.error as { name?: unknown; message?: unknown } | undefined;
    largest = Math.max(largest, bytesOf(error ?? null));
    arena.require(reason === "retries_exhausted", `${value} ended as ${reason}`);
    arena.require(typeof error?.name === "string" && typeof error.message === "string", `${value} has no readable error`);
  }
  const verdict = await arena.judge();
  const wanted = ODD_THROWS.length * executions.length;
  arena.require(dead.length === wanted, `${dead.length} of ${wanted} became dead letters`);
  arena.require(largest <= LARGEST_ERROR, `a stored error has ${largest} bytes`);
  return { ...summary(verdict), kinds: ODD_THROWS.length, largest_error_bytes: largest };
}

/** A result that nobody can store is still the end of a handled message. */
async function returnOddly(arena: Arena): Promise<Figures> {
  for (const execution of ["thread", "inline"] as const) {
    const fleet = await arena.fleet({ processes: 1, execution });
    for (const kind of ODD_RETURNS) await arena.send(Odd, { returns: kind }, { writer: execution });
    await arena.drain();
    arena.require(fleet.logged(/thread died|process died/) === 0, `something died (${execution})`);
    await fleet.stop();
  }
  const verdict = await arena.judge();
  arena.require(verdict.handled === verdict.accepted, `${verdict.handled} of ${verdict.accepted} count as handled`);
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} ran again`);
  return { ...summary(verdict), kinds: ODD_RETURNS.length };
}

/**
 * More messages than threads: what is claimed starts at once, or when the next handler ends; the rest waits in the
 * database for whoever has room.
 */
async function fillPool(arena: Arena): Promise<Figures> {
  const [concurrency, sleepMs] = [4, 800];
  const fleet = await arena.fleet({ processes: 1, threads: 2, concurrency });
  const pids = fleet.workers();
  const sent = await arena.sendMany(40, Slow, () => ({ sleepMs }));
  await waitFor(() => sent.filter(({ value }) => arena.runsOf(value, "end").length > 0).length >= 20, {
    timeoutMs: 30_000,
    what: "half of them to end",
  });
  const { code } = await fleet.stop();
  arena.require(code === 0, `exit code ${code}`);
  const claims = await readClaims(arena.database);
  const starts = new Map(sent.map(({ value, id }) => [id, arena.runsOf(value)[0]?.at]));
  const waits = claims.map(({ id, at }) => (starts.get(id) ?? Number.NaN) - at).filter((ms) => !Number.isNaN(ms));
  // Those of the receive that was under way when the signal came.
  const handedBack = claims.length - waits.length;
  const left = await arena.unfinished();
  const rest = await arena.fleet({ processes: 1, concurrency: 40 });
  await arena.drain();
  await rest.stop();
  const verdict = await arena.judge();
  const paid = sent.filter(({ value }) => arena.runsOf(value).some(({ attempt, pid }) => attempt > 1 && !pids.includes(pid))).length;
  arena.require(handedBack <= concurrency, `${handedBack} were claimed and not started`);
  // What one receive's time consumes may be held ready; a second one in the same place would wait for two handlers.
  const [usual, longest] = [quantile(waits, 0.5), quantile(waits, 1)];
  arena.requireInTime(usual, sleepMs / 4, `messages were claimed ${round(usual)} ms before they could start`);
  arena.requireInTime(longest, sleepMs + 200, `a message was claimed ${round(longest)} ms before it could start`);
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} were begun twice`);
  arena.require(paid === 0, `${paid} attempts were spent`);
  return { ...summary(verdict), claimed: claims.length, handed_back: handedBack, ...spread("claimed_early", waits), left_for_others: left };
}

/** Two backlogs, one fleet: each is taken from in proportion to its weight, so that the heavier does not starve the other. */
async function weighQueues(arena: Arena): Promise<Figures> {
  const each = 600;
  for (const queue of ["default", "slow"])
    await Promise.all(Array.from({ length: each }, () => arena.send(Note, { sleepMs: 5 }, { queue, writer: queue })));
  const fleet = await arena.fleet({ processes: 2, concurrency: 4, flags: ["--queues", "default=3,slow=1", "--batch-size", "2"] });
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  const begun = arena.entries().flatMap((entry) => (entry.kind === "start" ? [entry.value] : []));
  const share = begun.slice(0, each).filter((value) => value.startsWith("default-")).length / each;
  arena.require(Math.abs(share - 0.75) <= 0.12, `${round(share * 100)} % of the first ${each} were of the queue with 75 % of the weight`);
  return { ...summary(verdict), share_percent: round(share * 100, 1) };
}

/** Nobody knows the type: given up on first sight, the record as it was. */
async function sendUnknown(arena: Arena): Promise<Figures> {
  const sent = await Promise.all(Array.from({ length: 5 }, () => arena.send(Unknown, {})));
  const before = await Promise.all(sent.map(({ id = "" }) => arena.record(id)));
  const fleet = await arena.fleet({ processes: 1 });
  const { value } = await arena.send(Note, {});
  await arena.drain();
  await fleet.stop();
  const dead = await arena.deadLetters();
  const after = await Promise.all(sent.map(({ id = "" }) => arena.record(id)));
  const deliveries = await deliveriesOf(arena, new Set(sent.map(({ id = "" }) => id)));
  const verdict = await arena.judge();
  arena.require(
    dead.length === sent.length && dead.every(({ reason }) => reason === "no_handler"),
    `the dead letters are for ${dead.map(({ reason }) => reason)}`,
  );
  arena.require(deliveries === sent.length, `${deliveries} deliveries of ${sent.length} messages`);
  arena.require(before.join("\n") === after.join("\n"), "a record was changed");
  arena.require(arena.runsOf(value, "end").length === 1, "a message of a known type was not handled");
  return { ...summary(verdict), deliveries };
}

/** What stands in the place of a record, and whether it is for a newer program. */
const BODIES: readonly { readonly sql: string; readonly tooNew?: true }[] = [
  { sql: `to_jsonb(encode(sha256('random'), 'escape'))` },
  { sql: `to_jsonb(left(data::text, 40))` },
  { sql: `jsonb_set(data, '{v}', '0.5')` },
  { sql: `jsonb_set(data, '{v}', '"one"')` },
  { sql: `data - 'payload'` },
  { sql: `data || '{"type": 7}'` },
  { sql: `data || '{"at": "yesterday", "depth": -1}'` },
  { sql: `data || '{"tries": [1, 2, 3]}'` },
  { sql: `data || '{"history": {}, "headers": 5}'` },
  { sql: `'{}'` },
  { sql: `jsonb_set(data, '{v}', '99')`, tooNew: true },
];

/** Records that cannot be read: given up on first sight, kept byte for byte. Those of a newer program are left to it. */
async function damageBodies(arena: Arena): Promise<Figures> {
  const sent = await Promise.all(BODIES.map(() => arena.send(Note, {})));
  const original = await arena.record(sent.at(-1)?.id ?? "");
  for (const [i, { sql }] of BODIES.entries())
    await arena.database.query(`UPDATE symphony.job SET data = ${sql} WHERE id = $1`, [sent[i]?.id]);
  const before = await Promise.all(sent.map(({ id = "" }) => arena.record(id)));
  const fleet = await arena.fleet({ processes: 1 });
  const { value } = await arena.send(Note, {});
  const hopeless = sent.filter((_, i) => BODIES[i]?.tooNew !== true);
  await waitFor(async () => (await arena.deadLetters()).length >= hopeless.length && arena.runsOf(value, "end").length > 0, {
    timeoutMs: 20_000,
    what: "all that cannot be read to be given up",
  });
  await pause(1_500);
  const dead = await arena.deadLetters();
  const after = await Promise.all(sent.map(({ id = "" }) => arena.record(id)));
  const deliveries = await deliveriesOf(arena, new Set(hopeless.map(({ id = "" }) => id)));
  // The newer program comes: what was left to it is as it was.
  await arena.database.query("UPDATE symphony.job SET data = $2::jsonb, start_after = now(), created_on = now() WHERE id = $1", [
    sent.at(-1)?.id,
    original,
  ]);
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  arena.require(
    dead.length === hopeless.length && dead.every(({ reason }) => reason === "undecodable"),
    `${dead.length} of ${hopeless.length} dead letters, for ${[...new Set(dead.map(({ reason }) => reason))]}`,
  );
  arena.require(deliveries === hopeless.length, `${deliveries} deliveries of ${hopeless.length} messages`);
  arena.require(before.join("\n") === after.join("\n"), "a record was changed");
  return { ...summary(verdict), kinds: BODIES.length, deliveries };
}

/** Text and numbers that JSON, jsonb or JavaScript would change: refused with their path, or carried exactly. */
interface Case {
  readonly body: unknown;
  /** Where the refusal points. */
  readonly path?: string;
  /** What the handler sees, if not the body. */
  readonly seen?: unknown;
}

const TEXTS: readonly Case[] = [
  { body: "before\u0000after", path: "payload.body" },
  { body: { deep: [{ text: "\u0000" }] }, path: "payload.body.deep[0].text" },
  { body: "\ud800", path: "payload.body" },
  { body: ["\udfff\ud800"], path: "payload.body[0]" },
  { body: { "a\u0000key": 1 }, path: "payload.body" },
  { body: { text: "😀 \u0001 \u007f \u2028 \ufffe \\u0000 ' \" ; DROP TABLE job --" } },
];

const NUMBERS: readonly Case[] = [
  { body: Number.NaN, path: "payload.body" },
  { body: [1, Number.NEGATIVE_INFINITY], path: "payload.body[1]" },
  { body: Number("1e400"), path: "payload.body" },
  { body: { n: 2 ** 53 + 2 }, path: "payload.body.n" },
  { body: 10n, path: "payload.body" },
  { body: Number.MAX_SAFE_INTEGER },
  { body: [5e-324, 0.1 + 0.2, -1e-7, 123456.789e-30, Number.MIN_SAFE_INTEGER] },
  // Documented: JSON knows no negative zero.
  { body: -0, seen: 0 },
];

async function carryExactly(arena: Arena, cases: readonly Case[]): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 1 });
  let refused = 0;
  for (const { body, path, seen = body } of cases) {
    const { value, id, error } = await arena.send(Echo, { body });
    if (path !== undefined) {
      refused += 1;
      const told = String(error?.details.path ?? "");
      arena.require(error?.code === "PAYLOAD_NOT_JSON" && told.startsWith(path), `${path}: ${error?.code ?? "accepted"} at "${told}"`);
      continue;
    }
    arena.require(id !== undefined, `refused, and should not be: ${error?.message}`);
    const end = await waitFor(() => arena.runsOf(value, "end")[0], { what: "the handler to see it" });
    arena.require(end.seen === JSON.stringify(seen), `the handler saw ${end.seen} of ${JSON.stringify(body)}`);
  }
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  arena.require(verdict.deadLettered === 0, `${verdict.deadLettered} dead letters`);
  return { ...summary(verdict), refused, carried: cases.length - refused };
}

export const messageRows: readonly Row[] = [
  { id: "F26", title: "handlers throw what is no error", n: 1, gate: 1, run: throwOddly },
  { id: "F27", title: "handlers return what nobody can store", n: 1, gate: 1, run: returnOddly },
  { id: "F28", title: "more messages than the thread pool has room for", n: 1, gate: 1, run: fillPool },
  { id: "F64", title: "messages of an unknown type", n: 1, gate: 1, waits: 1, run: sendUnknown },
  { id: "F65", title: "records that cannot be read", n: 1, gate: 1, waits: 3, run: damageBodies },
  { id: "F66", title: "NUL and lone surrogates", n: 1, gate: 1, waits: 1, run: (arena) => carryExactly(arena, TEXTS) },
  { id: "ORDER", title: "queues by weight", n: 1, gate: 1, run: weighQueues },
  { id: "F67", title: "numbers that JSON cannot carry", n: 1, gate: 1, waits: 1, run: (arena) => carryExactly(arena, NUMBERS) },
];
