import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMemoryTransport, type MemoryTransport } from "@symphony/core";
import { testEnvelope } from "@symphony/core/testing";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

let stores = 0;

/** A project whose store outlives the commands that are run on it, and a message in it. */
async function opened(t: TestContext): Promise<{ transport: MemoryTransport; id: string; run(...line: string[]): Promise<string> }> {
  stores += 1;
  const name = `cli-message-${stores}`;
  const transport = createMemoryTransport({ name });
  t.after(() => transport.close());
  const config = `export default { transports: { default: { dsn: "memory://${name}" } } };`;
  const directory = project(t, { "symphony.config.ts": config });
  const [sent] = await transport.send([testEnvelope("mail.send", {})]);
  return {
    transport,
    id: sent?.kind === "accepted" ? sent.id : "",
    async run(...line) {
      const io = memoryIo({ directory });
      return `${await runCli(line, io)} ${io.output()}${io.errors()}`.trim();
    },
  };
}

test("tells where a message is, and cancels it once", async (t) => {
  const { transport, id, run } = await opened(t);
  assert.match(await run("message", id), new RegExp(`^0 ${id} mail\\.send in default/default, priority 5: waiting since 20\\d\\d-`));
  assert.equal(await run("cancel", id), `0 cancelled ${id}: it was waiting in default`);
  assert.match(await run("message", id), /: cancelled at \S+ by \S+/);
  assert.equal(await run("cancel", id), `1 symphony: the message ${id} is cancelled already`);
  assert.equal(await transport.getQueueDepth(), 0);
});

test("names the worker of a message that is being handled", async (t) => {
  const { transport, id, run } = await opened(t);
  await transport.receive(1, { workerId: "w1" });
  assert.match(await run("message", id, "--json"), /"state": "active",[\s\S]*"workerId": "w1"/);
  assert.equal(await run("cancel", id), `0 cancelled ${id}: worker w1 is told to stop handling it`);
});

test("exits 1 for a message that nobody knows", async (t) => {
  const { run } = await opened(t);
  for (const command of ["message", "cancel"])
    assert.equal(await run(command, "nonsense"), "1 symphony: no message has the id nonsense, or it was handled");
});
