import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { childrenOf, fleetProject, isAlive, probe } from "./testing/fleet-project.ts";

const TWO = ["--processes", "2", "--health-port", "0"];

test("both processes handle messages; kill -9 of one brings its work and a new process back", async (t) => {
  const { start, send, lines, json } = await fleetProject(t);
  await send("hold", 2);
  const fleet = start(["consume", "--concurrency", "1", ...TWO]);
  const holders = await waitFor(() => pidsOf(lines(), "hold").length === 2 && pidsOf(lines(), "hold"), { what: "two holders" });
  assert.equal(new Set(holders).size, 2, "each process runs one");
  process.kill(holders[0] ?? 0, "SIGKILL");
  await waitFor(() => pidsOf(lines(), "hold").length === 3, { what: "the message to run again", timeoutMs: 20_000 });
  await waitFor(async () => (await json<{ workers: unknown[] }>(["workers"])).workers.length >= 2, { what: "a second worker" });
  fleet.child.kill("SIGTERM");
  await fleet.saying(/finishing what is in flight/);
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0, fleet.text());
});

test("handlers start threads with the flags of their process, whatever V8 is told for a worker process", async (t) => {
  const { start, send, lines, failed } = await fleetProject(t);
  await send("nested", 1);
  await send("nested-in-thread", 1);
  const fleet = start(["consume", ...TWO]);
  await waitFor(async () => idsOf(lines(), "nested").length === 2 || (await failed()).length > 0, { what: "both", timeoutMs: 20_000 });
  assert.deepEqual(await failed(), []);
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});

test("an idle fleet stops within half a second of its signal, with exit code 0", async (t) => {
  const { start } = await fleetProject(t);
  const fleet = start(["consume", ...TWO]);
  const port = await portOf(fleet);
  await waitFor(async () => (await probe(port, "readyz?verbose")).includes("2 of 2 ready"), { what: "both to be ready" });
  const began = performance.now();
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
  const took = performance.now() - began;
  t.diagnostic(`stopped after ${Math.round(took)} ms`);
  // Twice the promise: other tests run beside this one.
  assert.ok(took < 1_000, `${took} ms`);
});

test("SIGHUP replaces every process while messages flow: each is handled once", async (t) => {
  const { start, send, lines } = await fleetProject(t);
  const fleet = start(["consume", ...TWO]);
  const port = await portOf(fleet);
  await waitFor(async () => (await probe(port, "readyz?verbose")).includes("2 of 2 ready"), { what: "both to be ready" });
  const before = childrenOf(fleet.child.pid ?? 0);
  await send("brief", 400);
  fleet.child.kill("SIGHUP");
  await waitFor(() => !before.some(isAlive), { what: "the old processes to be gone", timeoutMs: 30_000 });
  assert.match(await probe(port, "readyz"), /^200/);
  await send("brief", 50);
  await waitFor(() => idsOf(lines(), "brief").length >= 450, { what: "all messages", timeoutMs: 30_000 });
  assert.equal(new Set(idsOf(lines(), "brief")).size, 450);
  assert.equal(idsOf(lines(), "brief").length, 450, "none twice");
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});

test("a successor that cannot start leaves the old processes at work", async (t) => {
  const { start, send, lines, directory } = await fleetProject(t);
  const fleet = start(["consume", ...TWO]);
  await waitFor(async () => (await probe(await portOf(fleet), "readyz?verbose")).includes("2 of 2 ready"), { what: "both to be ready" });
  const file = join(directory, "symphony.config.ts");
  const whole = readFileSync(file, "utf8");
  writeFileSync(file, `${whole}\nthrow new Error("half a deployment");\n`);
  fleet.child.kill("SIGHUP");
  await fleet.saying(/no successor came up/);
  writeFileSync(file, whole);
  await send("brief", 5);
  await waitFor(() => idsOf(lines(), "brief").length === 5, { what: "the old ones to handle messages" });
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});

test("stop-workers replaces the processes of running fleets", async (t) => {
  const { start, json } = await fleetProject(t);
  const fleet = start(["consume", ...TWO]);
  await waitFor(async () => (await probe(await portOf(fleet), "readyz?verbose")).includes("2 of 2 ready"), { what: "both to be ready" });
  const before = childrenOf(fleet.child.pid ?? 0);
  assert.deepEqual(await json(["stop-workers"]), { success: true, workers: 2, transports: [{ transport: "default", workers: 2 }] });
  await waitFor(() => !before.some(isAlive), { what: "the old processes to be gone", timeoutMs: 30_000 });
  // Not meant by a request from before its start.
  const later = start(["consume", ...TWO]);
  await waitFor(async () => (await probe(await portOf(later), "readyz?verbose")).includes("2 of 2 ready"), { what: "both to be ready" });
  assert.doesNotMatch(later.text(), /one by one/);
  for (const each of [fleet, later]) each.child.kill("SIGTERM");
  assert.deepEqual([(await fleet.ended).code, (await later.ended).code], [0, 0]);
});

test("kill -9 of the supervisor ends its processes within two seconds, and their work is handed back", async (t) => {
  const { start, send, lines, queues } = await fleetProject(t);
  await send("hold", 2);
  const fleet = start(["consume", "--concurrency", "1", ...TWO]);
  await waitFor(() => pidsOf(lines(), "hold").length === 2, { what: "two holders" });
  const children = childrenOf(fleet.child.pid ?? 0);
  assert.equal(children.length, 2);
  fleet.child.kill("SIGKILL");
  await waitFor(() => !children.some(isAlive), { what: "the children to be gone", timeoutMs: 2_500 });
  assert.deepEqual([(await queues()).default?.ready, (await queues()).default?.active], [2, 0]);
});

test("a message that kills its process is dead-lettered as crashed, and its neighbours are done", async (t) => {
  const { start, send, lines, failed } = await fleetProject(t);
  await send("killer", 1);
  await send("brief", 20);
  const fleet = start(["consume", ...TWO]);
  const letters = await waitFor(async () => ((await failed()).length > 0 ? await failed() : undefined), {
    what: "a dead letter",
    timeoutMs: 50_000,
  });
  assert.deepEqual(
    letters.map(({ type, reason }) => [type, reason]),
    [["killer", "crashed"]],
  );
  await waitFor(() => new Set(idsOf(lines(), "brief")).size === 20, { what: "the neighbours" });
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});

test("--recycle-messages and --recycle-time replace processes and handle everything once; --limit stops after exactly so many", async (t) => {
  const { start, send, lines, run } = await fleetProject(t);
  await send("brief", 60);
  const fleet = start(["consume", "--recycle-messages", "10", "--recycle-time", "600", ...TWO]);
  const first = await waitFor(() => childrenOf(fleet.child.pid ?? 0).length === 2 && childrenOf(fleet.child.pid ?? 0), {
    what: "children",
  });
  await waitFor(() => first.some((pid) => !isAlive(pid)), { what: "a process to be recycled", timeoutMs: 30_000 });
  await waitFor(() => idsOf(lines(), "brief").length >= 60, { what: "all messages" });
  assert.equal(new Set(idsOf(lines(), "brief")).size, 60);
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
  await send("brief", 40);
  const limited = await run(["consume", "--limit", "23", ...TWO]);
  assert.equal(limited.code, 0, limited.out);
  assert.equal(idsOf(lines(), "brief").length, 83);
});

test("--memory-limit replaces a process that takes more, and the fleet stays alive and ready", async (t) => {
  const { start, send, lines } = await fleetProject(t);
  const fleet = start(["consume", "--memory-limit", "20", "--processes", "1", "--health-port", "0"]);
  const port = await portOf(fleet);
  await waitFor(async () => (await probe(port, "readyz")).startsWith("200"), { what: "readiness" });
  const [first = 0] = childrenOf(fleet.child.pid ?? 0);
  const answers: string[] = [];
  await waitFor(
    async () => {
      answers.push((await probe(port, "readyz")).slice(0, 3), (await probe(port, "livez")).slice(0, 3));
      return !isAlive(first);
    },
    { what: "the first process to be gone", timeoutMs: 20_000 },
  );
  assert.deepEqual(new Set(answers), new Set(["200"]));
  await send("brief", 3);
  await waitFor(() => idsOf(lines(), "brief").length === 3, { what: "its successor to handle messages" });
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});

test("a database that has become newer ends the fleet with 78 once no process can work, and refuses the next one", async (t) => {
  const { start, database, run } = await fleetProject(t);
  const fleet = start(["consume", ...TWO]);
  await waitFor(async () => (await probe(await portOf(fleet), "readyz?verbose")).includes("2 of 2 ready"), { what: "both to be ready" });
  await database.query("UPDATE symphony.version SET version = 999");
  for (const pid of childrenOf(fleet.child.pid ?? 0)) process.kill(pid, "SIGKILL");
  assert.equal((await fleet.ended).code, 78, fleet.text());
  assert.equal((await run(["consume", ...TWO])).code, 78);
});

const pidsOf = (lines: readonly string[], kind: string): number[] =>
  lines.flatMap((line) => (line.startsWith(`${kind} `) ? [Number(line.split(" ")[1])] : []));
const idsOf = (lines: readonly string[], kind: string): string[] =>
  lines.flatMap((line) => (line.startsWith(`${kind} `) ? [line.split(" ")[2] ?? ""] : []));

async function portOf(fleet: { saying(pattern: RegExp): Promise<RegExpExecArray> }): Promise<number> {
  return Number((await fleet.saying(/"health_port":(\d+)/))[1]);
}
