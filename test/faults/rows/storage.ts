import { pause, waitFor } from "@symphony/core/testing";
import { PgBoss } from "pg-boss";
import { Note, Odd } from "../../fixtures/messages.ts";
import { now } from "../../support/journal.ts";
import { type Arena, summary } from "../arena.ts";
import { quantile, round, spread } from "../figures.ts";
import type { Figures, Row } from "../row.ts";

/** A schema of another version: refused at the start, with both versions named and an exit code of its own. */
async function changeVersion(arena: Arena): Promise<Figures> {
  const [known] = await arena.database.query<{ version: number }>("SELECT version FROM symphony.version");
  const figures: Record<string, number> = { known: known?.version ?? -1 };
  const cases = [
    { name: "newer", version: (known?.version ?? 0) + 1, transport: {} },
    // Without leave to migrate it.
    { name: "older", version: (known?.version ?? 0) - 1, transport: { autoSetup: false } },
  ];
  for (const { name, version, transport } of cases) {
    await arena.database.query("UPDATE symphony.version SET version = $1", [version]);
    const fleet = await arena.fleet({ processes: 1, transport, unready: true });
    const { code } = await fleet.program.waitForExit(30_000);
    const said = fleet.program.lines.map(({ text }) => text).join("\n");
    arena.require(code === 78, `${name}: exit code ${code}`);
    arena.require(
      said.includes(String(version)) && said.includes(String(known?.version)),
      `${name}: it does not name both versions: ${said}`,
    );
    figures[`${name}_exit_code`] = code ?? -1;
  }
  await arena.database.query("UPDATE symphony.version SET version = $1", [known?.version]);
  const fleet = await arena.fleet({ processes: 1 });
  await arena.send(Note, {});
  await arena.drain();
  await fleet.stop();
  return { ...summary(await arena.judge()), ...figures };
}

/** `n` processes set up one empty schema at the same time. */
async function setUpAtOnce(arena: Arena): Promise<Figures> {
  const config = arena.fixture;
  const env = {
    SYMPHONY_TEST_DSN: arena.database.connectionString,
    SYMPHONY_TEST_TRANSPORT_OPTIONS: JSON.stringify({ schema: "fresh", autoSetup: "defer" }),
  };
  const run = (...flags: string[]) => arena.processes.run(["setup", "--json", "--config", config, ...flags], { env, withinMs: 170_000 });
  const startedAt = now();
  const results = await Promise.all(Array.from({ length: arena.n }, () => run()));
  const tookMs = now() - startedAt;
  const failed = results.filter(({ code }) => code !== 0);
  // Who has made the schema says so in its steps; the others found it, or had to do less.
  const makers = results.filter(({ stdout }) => stdout.includes("CREATE SCHEMA")).length;
  const again = await run("--dry-run");
  const [versions] = await arena.database.query<{ n: number }>("SELECT count(*)::int AS n FROM fresh.version");
  const [queues] = await arena.database.query<{ n: number }>("SELECT count(*)::int AS n FROM fresh.queue");
  arena.require(failed.length === 0, `${failed.length} failed: ${failed[0]?.stderr}`);
  arena.require(makers === 1, `${makers} processes made the schema`);
  arena.require(!again.stdout.includes("CREATE"), `something is still to be done: ${again.stdout}`);
  arena.require(versions?.n === 1, `${versions?.n} versions`);
  return { processes: arena.n, failed: failed.length, makers, queues: queues?.n ?? -1, took_ms: round(tookMs) };
}

/** What a hand with a SQL prompt can do to the data of a waiting message. */
const DATA = ["NULL", "'null'", `'"text"'`, "'[]'", "'7'", "'true'", `'{"payload": {}}'`];
/** States of pg-boss that no waiting message of ours is in. */
const STATES = ["failed", "cancelled", "completed"];

async function damageRows(arena: Arena): Promise<Figures> {
  const damaged = await Promise.all(DATA.map(() => arena.send(Note, {})));
  const parked = await Promise.all(STATES.map(() => arena.send(Note, {})));
  const odd = await arena.send(Note, {});
  for (const [i, data] of DATA.entries())
    await arena.database.query(`UPDATE symphony.job SET data = ${data} WHERE id = $1`, [damaged[i]?.id]);
  for (const [i, state] of STATES.entries())
    await arena.database.query("UPDATE symphony.job SET state = $2::symphony.job_state WHERE id = $1", [parked[i]?.id, state]);
  await arena.database.query("UPDATE symphony.job SET priority = -2147483648, retry_count = -5, started_on = NULL WHERE id = $1", [odd.id]);
  const fleet = await arena.fleet({ processes: 1 });
  const good = await arena.sendMany(20, Note, () => ({}));
  await waitFor(() => [...good, odd].every(({ value }) => arena.runsOf(value, "end").length > 0), { what: "the queue to go on" });
  await waitFor(async () => (await arena.deadLetters()).length >= DATA.length, { what: "the damaged ones to be given up" });
  const touched = parked.filter(({ value }) => arena.runsOf(value).length > 0).length;
  arena.require(touched === 0, `${touched} in a foreign state were handled`);
  await arena.database.query("UPDATE symphony.job SET state = 'created' WHERE id = ANY($1)", [parked.map(({ id }) => id)]);
  await arena.drain();
  await fleet.stop();
  const dead = await arena.deadLetters();
  const verdict = await arena.judge();
  arena.require(
    dead.length === DATA.length && dead.every(({ reason }) => reason === "undecodable"),
    `${dead.length} of ${DATA.length} dead letters, for ${[...new Set(dead.map(({ reason }) => reason))]}`,
  );
  return { ...summary(verdict), damaged: DATA.length, parked: STATES.length };
}

/** Rows of every age, and pg-boss's own maintenance over them: what nobody has finished stays. */
async function ageRows(arena: Arena): Promise<Figures> {
  const first = await arena.fleet({ processes: 1 });
  const dead = await arena.sendMany(5, Odd, () => ({ throws: "string" }));
  const { id: kept } = await arena.send(Note, {}, { idempotencyKey: "remembered" });
  await arena.drain();
  await first.stop();
  const waiting = await arena.sendMany(20, Note, () => ({}));
  const later = await Promise.all([1, 2, 3].map((days) => arena.send(Note, {}, { delayMs: days * 86_400_000 })));
  // As if everything had been lying there for twenty years.
  await arena.database.query(`UPDATE symphony.job SET created_on = created_on - y, start_after = start_after - y, keep_until = keep_until - y,
    completed_on = completed_on - y, source_created_on = source_created_on - y FROM (SELECT interval '20 years' AS y) AS age`);
  const boss = new PgBoss({
    connectionString: arena.database.connectionString,
    schema: "symphony",
    supervise: false,
    schedule: false,
    max: 1,
  });
  boss.on("error", () => undefined);
  await boss.start();
  try {
    for (let i = 0; i < 2; i++) {
      await arena.database.query("UPDATE symphony.queue SET maintain_on = NULL, monitor_on = NULL, monitor_claim_on = NULL");
      await boss.supervise();
    }
  } finally {
    await boss.stop({ graceful: false });
  }
  const remembered = await arena.record(kept ?? "");
  const fleet = await arena.fleet({ processes: 1 });
  await arena.drain();
  // Its own look for what is due to be forgotten has come by.
  await pause(2_000);
  await fleet.stop();
  const verdict = await arena.judge();
  const handled = [...waiting, ...later].filter(({ value }) => arena.runsOf(value, "end").length === 1).length;
  arena.require(remembered === undefined, "the maintenance did nothing: the finished message is still there");
  arena.require(handled === waiting.length + later.length, `${handled} of ${waiting.length + later.length} that waited were handled`);
  arena.require(verdict.deadLettered === dead.length, `${verdict.deadLettered} of ${dead.length} dead letters are left`);
  return { ...summary(verdict), aged_years: 20 };
}

/** The dead letters cannot be written for a while: what is to become one stays owned, and the rest goes on. */
async function refuseDeadLetters(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 1, concurrency: 10 });
  // What a full disk answers, to this table alone.
  await arena.database.query(`
    CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_space BEFORE INSERT ON symphony.job FOR EACH ROW WHEN (NEW.name = 'failed') EXECUTE FUNCTION no_space()`);
  const doomed = await arena.sendMany(5, Odd, () => ({ throws: "string" }));
  await waitFor(() => doomed.every(({ value }) => arena.runsOf(value, "threw").length > 0), { what: "all to fail" });
  const waits: number[] = [];
  const at = now();
  while (now() - at < 8_000) {
    const sentAt = now();
    const { value } = await arena.send(Note, {}, { writer: "beside" });
    const start = await waitFor(() => arena.runsOf(value)[0], { timeoutMs: 30_000, what: "a message beside them to run" });
    waits.push(start.at - sentAt);
    await pause(100);
  }
  const early = (await arena.deadLetters()).length;
  await arena.database.query("DROP TRIGGER no_space ON symphony.job");
  const healedAt = now();
  await waitFor(async () => (await arena.deadLetters()).length === doomed.length, { timeoutMs: 30_000, what: "the dead letters" });
  const writtenMs = now() - healedAt;
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  const runs = doomed.reduce((sum, { value }) => sum + arena.runsOf(value).length, 0);
  arena.require(early === 0, `${early} dead letters were written meanwhile`);
  arena.require(runs === doomed.length, `the handlers ran ${runs} times for ${doomed.length} messages`);
  arena.requireInTime(quantile(waits, 1), 2_000, `a message beside them waited ${round(quantile(waits, 1))} ms`);
  arena.requireInTime(writtenMs, 11_000, `written only after ${round(writtenMs)} ms`);
  return { ...summary(verdict), written_ms: round(writtenMs), ...spread("beside", waits) };
}

export const storageRows: readonly Row[] = [
  { id: "F49", title: "the schema is newer or older than the code", n: 1, gate: 1, waits: 2, run: changeVersion },
  { id: "F50", title: "n processes set up at once", n: 20, gate: 20, run: setUpAtOnce },
  { id: "F54", title: "rows are damaged by hand", n: 1, gate: 1, waits: 2, run: damageRows },
  { id: "F78", title: "dead letters cannot be written", n: 1, gate: 1, waits: 12, run: refuseDeadLetters },
  { id: "F85", title: "every retention has run out", n: 1, gate: 1, waits: 4, run: ageRows },
];
