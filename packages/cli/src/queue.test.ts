import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMemoryTransport, type MemoryTransport, stamps } from "@symphony/core";
import { testEnvelope } from "@symphony/core/testing";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

const CONFIG = `import { defineConfig, defineMessage } from "@symphony/core";
const Mail = defineMessage("mail.send", { queue: "mails" });
export default defineConfig({ transports: { default: { dsn: "memory://NAME" } }, messages: [Mail] });`;

let stores = 0;

/** A project whose store outlives the commands that are run on it. */
function opened(t: TestContext): {
  transport: MemoryTransport;
  run(...line: string[]): Promise<{ code: number; out: string; err: string }>;
} {
  stores += 1;
  const name = `cli-queue-${stores}`;
  const transport = createMemoryTransport({ name, queues: ["default", "mails"] });
  t.after(() => transport.close());
  const directory = project(t, { "symphony.config.ts": CONFIG.replace("NAME", name) });
  return {
    transport,
    async run(...line) {
      const io = memoryIo({ directory });
      return { code: await runCli(["queue", ...line], io), out: io.output(), err: io.errors() };
    },
  };
}

const mails = (count: number) =>
  Array.from({ length: count }, (_, n) => testEnvelope("mail.send", { n }, [stamps.queueName({ queue: "mails" })]));

test("pauses and resumes a queue, and says whether it was paused", async (t) => {
  const { transport, run } = opened(t);
  assert.deepEqual(await run("pause", "mails"), { code: 0, out: "paused queue mails\n", err: "" });
  const [pause] = await transport.listPauses();
  assert.ok(pause?.queue === "mails" && (pause.pausedBy ?? "") !== "", "recorded by name");
  assert.equal((await run("resume", "mails")).out, "resumed queue mails\n");
  assert.equal((await run("resume", "mails")).out, "queue mails was not paused\n");
  assert.equal((await run("pause", "mails", "--type", "mail.send")).out, "paused mail.send in queue mails\n");
  assert.equal((await transport.listPauses())[0]?.type, "mail.send");
  const answer = JSON.parse((await run("resume", "mails", "--type", "mail.send", "--json")).out) as object;
  assert.deepEqual(answer, { success: true, transport: "default", queue: "mails", type: "mail.send", paused: false, wasPaused: true });
});

test("pauses and resumes one type in every queue, wherever its messages are", async (t) => {
  const { transport, run } = opened(t);
  const other = testEnvelope("other", {}, [stamps.queueName({ queue: "mails" })]);
  await transport.send([...mails(1), testEnvelope("mail.send", { n: 9 }), other]);
  await transport.pauseQueue({ queue: "mails", type: "other" });
  assert.equal((await run("pause", "--type", "mail.send")).out, "paused mail.send in 2 queues\n");
  assert.deepEqual(await transport.receive(10, { workerId: "w" }), [], "both types are held back");
  await transport.resumeQueue({ queue: "mails", type: "other" });
  const [received, ...more] = await transport.receive(10, { workerId: "w" });
  assert.deepEqual([received?.envelope?.message.type, more.length], ["other", 0]);
  const answer = JSON.parse((await run("resume", "--type", "mail.send", "--json")).out) as {
    queues: { queue: string; wasPaused: boolean }[];
  };
  assert.deepEqual(answer.queues.map(({ queue, wasPaused }) => [queue, wasPaused]).sort(), [
    ["default", true],
    ["mails", true],
  ]);
  assert.equal((await transport.receive(10, { workerId: "w" })).length, 2);
  assert.equal((await run("resume", "--type", "mail.send")).out, "resumed mail.send in 0 queues\n");
  const nothing = await run("pause");
  assert.deepEqual([nothing.code, /which queue\? Or --type/.test(nothing.err)], [2, true]);
});

test("shows pauses in status", async (t) => {
  const { run, transport } = opened(t);
  await transport.pauseQueue({ queue: "mails" });
  await transport.pauseQueue({ queue: "mails", type: "mail.send" });
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": CONFIG.replace("NAME", `cli-queue-${stores}`) }) });
  assert.equal(await runCli(["status"], io), 0);
  assert.match(io.output(), /mails .* paused; paused: mail\.send$/m);
  await run("resume", "mails");
});

test("purges what was confirmed or expected, else nothing", async (t) => {
  const { transport, run } = opened(t);
  await transport.send(mails(3));
  assert.equal((await run("purge", "mails", "--dry-run")).out, "would delete 3 messages of queue mails\n");
  const unasked = await run("purge", "mails");
  assert.deepEqual([unasked.code, unasked.out], [2, ""]);
  const unexpected = await run("purge", "mails", "--expect", "2", "--force");
  assert.deepEqual([unexpected.code, unexpected.out], [1, ""]);
  assert.match(unexpected.err, /3 messages wait in queue "mails", not 2: nothing was removed/);
  assert.equal(await transport.getQueueDepth(), 3);
  assert.equal((await run("purge", "mails", "--type", "mail.other", "--force")).out, "deleted 0 messages of mail.other in queue mails\n");
  assert.equal((await run("purge", "mails", "--expect", "3", "--force")).out, "deleted 3 messages of queue mails\n");
  assert.equal(await transport.getQueueDepth(), 0);
});

test("refuses a queue that does not exist", async (t) => {
  const { run } = opened(t);
  for (const action of ["pause", "resume", "purge"]) {
    const { code, err } = await run(action, "nowhere");
    assert.equal(code, 1, action);
    assert.match(err, /there is no queue "nowhere"/);
  }
});
