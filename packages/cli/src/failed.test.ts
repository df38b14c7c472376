import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMemoryTransport, type Failure, type MemoryTransport, type Redrive } from "@symphony/core";
import { testEnvelope, waitFor } from "@symphony/core/testing";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

const CONFIG = `import { defineConfig } from "@symphony/core";
export default defineConfig({ transports: { default: { dsn: "memory://NAME" } } });`;

const [ONE, TWO] = ["1".repeat(16), "2".repeat(16)];

let stores = 0;

interface Bed {
  readonly transport: MemoryTransport;
  /** Dead-letters so many messages with this fingerprint. */
  bury(count: number, fingerprint?: string, message?: string): Promise<void>;
  run(line: readonly string[], signal?: AbortSignal, typed?: string): Promise<{ code: number; out: string; err: string }>;
  json<T>(line: readonly string[]): Promise<T>;
}

/** A project whose store outlives the commands that are run on it. */
function opened(t: TestContext): Bed {
  stores += 1;
  const name = `cli-failed-${stores}`;
  const transport = createMemoryTransport({ name });
  t.after(() => transport.close());
  const directory = project(t, { "symphony.config.ts": CONFIG.replace("NAME", name) });
  const run: Bed["run"] = async (line, signal, typed) => {
    const answers = typed === undefined ? {} : { input: typed, interactive: true };
    const io = memoryIo({ directory, ...(signal === undefined ? {} : { signal }), ...answers });
    return { code: await runCli(["failed", ...line], io), out: io.output(), err: io.errors() };
  };
  return {
    transport,
    async bury(count, fingerprint = ONE, message = "it broke") {
      await transport.send(Array.from({ length: count }, (_, n) => testEnvelope("mail.send", { n })));
      const received = await transport.receive(count, { workerId: "w" });
      const failure: Failure = { reason: "unrecoverable", error: { name: "Error", message }, fingerprint, attempts: 1, workerId: "w" };
      await transport.reject(received.map(({ receipt }) => ({ receipt, deadLetter: failure })));
    },
    run,
    async json(line) {
      const { code, out, err } = await run([...line, "--json"]);
      assert.equal(code, 0, err);
      return JSON.parse(out);
    },
  };
}

test("groups shows which bugs there are, the most frequent first", async (t) => {
  const { bury, run, json } = opened(t);
  assert.match((await run(["groups"])).out, /no failed messages/);
  await bury(1);
  await bury(3, TWO, "connection\nreset");
  const { out } = await run(["groups"]);
  assert.match(out, /FINGERPRINT +COUNT +TYPE/);
  assert.match(out, new RegExp(`${TWO} +3 +mail.send +default +\\S+ +unrecoverable +Error: connection reset\\n${ONE} +1 `));
  assert.match(out, /2 groups$/m);
  const { groups, hasMore } = await json<{ groups: { fingerprint: string; transport: string }[]; hasMore: boolean }>([
    "groups",
    "--limit",
    "1",
  ]);
  assert.deepEqual([groups.map((group) => [group.transport, group.fingerprint]), hasMore], [[["default", TWO]], true]);
});

test("list and retry find messages by text in their error", async (t) => {
  const { bury, run, transport } = opened(t);
  await bury(2, ONE, "Connection reset");
  await bury(1, TWO, "no such user");
  assert.match((await run(["list", "--search", "connection RESET"])).out, /2 of 2 failed messages/);
  assert.match((await run(["retry", "--all", "--search", "user"])).out, /retried 1 message/);
  assert.equal(await transport.getQueueDepth(), 1);
});

test("retry --rate sends the messages of one group as a redrive, to its end", async (t) => {
  const { bury, run, json, transport } = opened(t);
  await bury(30);
  await bury(3, TWO);
  const { code, out } = await run(["retry", "--all", "--fingerprint", ONE, "--rate", "200/s"]);
  assert.deepEqual([code, out], [0, "retried 30 messages\n"]);
  assert.equal(await transport.getQueueDepth(), 30);
  const { redrives } = await json<{ redrives: Redrive[] }>(["redrives"]);
  assert.deepEqual([redrives.length, redrives[0]?.state, redrives[0]?.done, redrives[0]?.rate], [1, "done", 30, 200]);
});

test("remove --rate removes as a redrive, and no more than was confirmed", async (t) => {
  const { bury, run, json, transport } = opened(t);
  await bury(10);
  const refused = await run(["remove", "--all", "--rate", "1000/s"]);
  assert.equal(refused.code, 2, "nobody can be asked");
  const { removed } = await json<{ removed: number }>(["remove", "--all", "--rate", "1000/s", "--limit", "4", "--force"]);
  assert.deepEqual([removed, (await transport.listDeadLetters({}, { limit: 10 })).total], [4, 6]);
});

test("retry --canary stops when the error comes again, exits 1, and says how to go on", async (t) => {
  const { bury, run, transport } = opened(t);
  await bury(5);
  const running = run(["retry", "--all", "--canary", "1"]);
  const canary = await waitFor(async () => (await transport.receive(1, { workerId: "w" }))[0], { what: "the canary" });
  const failure: Failure = {
    reason: "unrecoverable",
    error: { name: "Error", message: "again" },
    fingerprint: ONE,
    attempts: 1,
    workerId: "w",
  };
  await transport.reject([{ receipt: canary.receipt, deadLetter: failure }]);
  const { code, err } = await running;
  assert.equal(code, 1);
  assert.match(err, /stopped after 1: a message failed again with the same fingerprint; go on with: symphony failed redrives \S+ --resume/);
  assert.equal((await transport.listDeadLetters({}, { limit: 10 })).total, 5);
});

test("Ctrl-C pauses a redrive, and --resume goes on where it was", async (t) => {
  const { bury, run, json, transport } = opened(t);
  await bury(20);
  const stop = new AbortController();
  const running = run(["retry", "--all", "--rate", "20/s"], stop.signal);
  await waitFor(async () => (await transport.getQueueDepth()) > 0, { what: "the first message" });
  stop.abort();
  const { code, err } = await running;
  assert.equal(code, 1);
  const id = /redrives (\S+) --resume/.exec(err)?.[1] ?? "";
  const paused = await json<Redrive>(["redrives", id]);
  assert.equal(paused.state, "paused");
  assert.ok(paused.done > 0 && paused.done < 20);
  assert.match((await run(["redrives", id, "--resume"])).out, /retried 20 messages/);
  assert.equal(await transport.getQueueDepth(), 20);
});

test("the same command takes up a redrive that was interrupted, instead of making another", async (t) => {
  const { bury, run, json, transport } = opened(t);
  await bury(6);
  const redrive = await transport.redrives.create({ action: "retry", filter: { fingerprint: ONE }, rate: 500, requestedBy: "gone" });
  await transport.redrives.hold({ holder: "gone", leaseMs: 300 }, redrive.id);
  await transport.redrives.advance(redrive.id, { holder: "gone", leaseMs: 300 }, 2);
  const { code, out, err } = await run(["retry", "--all", "--fingerprint", ONE, "--rate", "500/s"]);
  assert.deepEqual([code, out], [0, "retried 6 messages\n"]);
  assert.match(err, new RegExp(`going on with ${redrive.id}`));
  assert.equal((await json<{ redrives: Redrive[] }>(["redrives"])).redrives.length, 1);
});

test("--detach leaves a redrive to others, who may be told to pause, go on and end", async (t) => {
  const { bury, run, json, transport } = opened(t);
  await bury(3);
  const { out } = await run(["retry", "--all", "--rate", "1/s", "--detach"]);
  const id = /^(\S+) is left to a running fleet/.exec(out)?.[1] ?? "";
  assert.equal(await transport.getQueueDepth(), 0);
  assert.match((await run(["redrives"])).out, new RegExp(`${id} +retry +running +0/3`));
  assert.equal((await json<Redrive>(["redrives", id, "--pause"])).state, "paused");
  assert.equal((await json<Redrive>(["redrives", id, "--resume", "--detach"])).state, "running");
  assert.equal((await json<Redrive>(["redrives", id, "--cancel"])).state, "cancelled");
  assert.deepEqual(
    (await transport.listAudit({ limit: 10 })).records.map((record) => record.action),
    ["cancel-redrive", "resume-redrive", "pause-redrive", "retry"],
  );
});

test("refuses what makes no sense", async (t) => {
  const { run } = opened(t);
  const id = "0197b2c4-0000-7000-8000-000000000000";
  for (const line of [
    ["retry", id, "--rate", "1/s"],
    ["retry", "--all", "--rate", "fast"],
    ["retry", "--all", "--canary", "0"],
    ["redrives", "--pause"],
    ["redrives", id, "--pause", "--cancel"],
  ])
    assert.equal((await run(line)).code, 2, line.join(" "));
  const missing = await run(["redrives", id]);
  assert.deepEqual([missing.code, /no redrive has the id/.test(missing.err)], [1, true]);
});

test("retry without ids walks through them at a terminal: retry, delete, skip, quit, each at once", async (t) => {
  const { transport, bury, run } = opened(t);
  await bury(5);
  const letters = (await transport.listDeadLetters({}, { limit: 10 })).deadLetters.map(({ id }) => id);
  const { code, out, err } = await run(["retry"], undefined, "what?\nr\ndelete\nS\nq\n");
  assert.equal(code, 0, err);
  assert.deepEqual(
    [...out.matchAll(/^(\d of 5)\nid +(\S+)/gm)].map(([, number, id]) => [number, id]),
    letters.slice(0, 4).map((id, i) => [`${i + 1} of 5`, id]),
    "the newest first, and nothing after the end",
  );
  assert.match(out, /error +Error: it broke/);
  assert.match(out, /payload +\{/);
  assert.match(err, /(Retry, delete or skip it, or quit\? \[r\/d\/s\/q\] ){5}/, "asked again after what is no answer");
  assert.match(out, /retried 1 message, removed 1, skipped 1$/m);
  const left = (await transport.listDeadLetters({}, { limit: 10 })).deadLetters.map(({ id }) => id);
  assert.deepEqual(left, letters.slice(2));
  assert.deepEqual(
    (await transport.receive(10, { workerId: "w" })).map(({ receipt }) => receipt.id),
    letters.slice(0, 1),
  );
  const { records } = await transport.listAudit({ limit: 10 });
  assert.deepEqual(
    records.map(({ action, target, count }) => [action, target, count]),
    [
      ["remove", letters[1], 1],
      ["retry", letters[0], 1],
    ],
  );
});

test("the walk ends with Ctrl-D, takes a filter and a limit, and is not for scripts: --force means all, without a question", async (t) => {
  const { bury, run, json } = opened(t);
  await bury(2);
  await bury(3, TWO);
  assert.match((await run(["retry"], undefined, "")).out, /retried 0 messages, removed 0, skipped 0/);
  const limited = await run(["retry", "--fingerprint", TWO, "--limit", "1"], undefined, "r\n");
  assert.match(limited.out, /1 of 3[\s\S]*retried 1 message/);
  const asked = await run(["retry"]);
  assert.deepEqual([asked.code, /give ids, or --all/.test(asked.err)], [2, true], asked.err);
  assert.equal((await json<{ retried: number }>(["retry", "--fingerprint", TWO, "--force"])).retried, 2);
  assert.equal((await run(["retry", "--force"])).code, 0);
  assert.match((await run(["list"])).out, /no failed messages/);
});
