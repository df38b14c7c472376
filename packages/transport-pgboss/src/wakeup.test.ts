import assert from "node:assert/strict";
import { test } from "node:test";
import { stamps } from "@symphony/core";
import { createSignals, waitFor } from "@symphony/core/testing";
import pg from "pg";
import { channelOf, queuesIn } from "./notifier.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, bury, message, messages, one, receive, send } from "./testing/messages.ts";

const url = await testDatabase();
const schema = new TestSchema(url);
const transport = await schema.open({ queues: ["alpha", "beta"] });

/** Hears what goes over the channel, as any other client would. */
async function eavesdrop(): Promise<{ heard: string[]; stop: () => Promise<void> }> {
  const heard: string[] = [];
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  client.on("notification", ({ payload }) => heard.push(payload ?? ""));
  await client.query(`LISTEN ${channelOf(schema.name)}`);
  return { heard, stop: () => client.end() };
}

test("wakes another process within milliseconds of a commit", async () => {
  const listening = await schema.open({ queues: ["alpha", "beta"] });
  const signals = createSignals<{ woken: readonly string[] }>();
  const stop = await listening.onWake((queues) => signals.emit("woken", queues));
  const delays: number[] = [];
  for (let n = 0; n < 15; n++) {
    const start = performance.now();
    await send(transport, message("alpha"));
    assert.deepEqual(await signals.next("woken"), ["alpha"]);
    delays.push(performance.now() - start);
  }
  delays.sort((a, b) => a - b);
  assert.ok((delays[7] ?? 1_000) < 100, `the median was ${delays[7]} ms`);
  await stop();
});

test("says much with few notifications", async () => {
  const { heard, stop } = await eavesdrop();
  await Promise.all(Array.from({ length: 300 }, (_, n) => send(transport, message(n % 2 === 0 ? "alpha" : "beta"))));
  await waitFor(() => new Set(heard.flatMap(queuesIn)).size === 2, { what: "both queues" });
  assert.ok(heard.length < 30, `${heard.length} notifications for 300 messages`);
  await stop();
});

test("wakes nobody for messages that are not due", async () => {
  const { heard, stop } = await eavesdrop();
  await send(transport, message("alpha", {}, stamps.delay({ delayMs: 60_000 })));
  await send(transport, message("beta"));
  await waitFor(() => heard.length > 0, { what: "the wake-up for the other queue" });
  assert.deepEqual(heard, ["beta"]);
  await stop();
});

test("wakes for a message of the caller's transaction when it has been committed, not before", async () => {
  const { heard, stop } = await eavesdrop();
  const client = await schema.admin.connect();
  await client.query("BEGIN");
  await transport.send([message("alpha")], { transaction: client });
  await transport.send([message("alpha")], { transaction: client });
  await send(transport, message("beta"));
  await waitFor(() => heard.includes("beta"), { what: "the wake-up for the other queue" });
  assert.deepEqual(heard, ["beta"]);
  await client.query("COMMIT");
  client.release();
  await waitFor(() => heard.includes("alpha"), { what: "the wake-up after the commit" });
  await stop();
});

test("wakes for what is released, retried at once, taken back and redriven", async () => {
  await schema.query("DELETE FROM $schema.job");
  await schema.query("DELETE FROM $schema.messenger_bundle");
  await send(transport, message("alpha"));
  const { heard, stop } = await eavesdrop();
  const next = async (act: () => Promise<unknown>, what: string): Promise<void> => {
    heard.length = 0;
    await act();
    await waitFor(() => heard.includes("alpha"), { what: `the wake-up after ${what}` });
  };
  await beat(transport);
  const held = () => one(transport, "alpha");
  let received = await held();
  await next(() => transport.reject([{ receipt: received.receipt, release: true }]), "a release");
  received = await held();
  await next(() => transport.reject([{ receipt: received.receipt, retryInMs: 0 }]), "a retry");
  received = await held();
  await next(() => transport.retire("test-worker"), "a retirement");
  await bury(transport, await held());
  await next(() => transport.redriveDeadLetters({}, 10), "a redrive");
  await stop();
});

test("keeps silent when it is told to", async () => {
  const { heard, stop } = await eavesdrop();
  const silent = await schema.open({ queues: ["alpha", "beta"], notify: false });
  await send(silent, ...messages("alpha", 3));
  await send(transport, message("beta"));
  await waitFor(() => heard.length > 0, { what: "the wake-up of the other transport" });
  assert.deepEqual(heard, ["beta"]);
  assert.ok((await receive(transport, "alpha")).length >= 3, "polling finds everything");
  await stop();
});
