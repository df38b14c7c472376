import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { createMessenger, defineHandler, defineMessage, type StopReason, silentLogger, systemClock, type WorkerInfo } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { runChild } from "./child.ts";
import { type FromChild, parseFromChild, seal, type ToChild } from "./ipc.ts";

const Note = defineMessage("note");

/** A channel whose other end is the test. */
class TestChannel extends EventEmitter {
  readonly said: FromChild[] = [];

  send(message: unknown, callback?: (error: Error | null) => void): boolean {
    const parsed = parseFromChild(message);
    if (parsed !== undefined) this.said.push(parsed);
    callback?.(null);
    return true;
  }

  tell(message: ToChild): void {
    this.emit("message", seal(message));
  }

  async ready(times: number): Promise<WorkerInfo> {
    const all = await waitFor(
      () => {
        const found = this.said.filter((message) => message.kind === "ready");
        return found.length >= times && found;
      },
      { what: `ready number ${times}` },
    );
    const worker = all[times - 1]?.workers.memory;
    assert.ok(worker);
    return worker;
  }
}

async function child(
  t: TestContext,
  pollInterval = 10,
): Promise<{ channel: TestChannel; handled: string[]; send(): Promise<string>; ended: Promise<StopReason> }> {
  const handled: string[] = [];
  const handler = defineHandler(Note, (_, { messageId }) => void handled.push(messageId), { execution: "inline" });
  const messenger = await createMessenger({ transports: { memory: { dsn: "memory:" } }, handlers: [handler] });
  const channel = new TestChannel();
  const options = { configPath: "", messenger, logger: silentLogger, lane: false, worker: { pollInterval } };
  const ended = runChild(async () => options, channel);
  t.after(async () => {
    channel.tell({ kind: "stop", reason: "manual", deadlineMs: 0 });
    await ended;
    await messenger.close();
  });
  return { channel, handled, ended, send: async () => (await messenger.dispatch(Note, {})).messageId };
}

const renewal = (worker: WorkerInfo, ageMs = 0): ToChild => ({
  kind: "renewed",
  transport: "memory",
  workerId: worker.workerId,
  ageMs,
  at: systemClock.monotonic() - ageMs,
});

describe("runChild", () => {
  test("receives nothing before its lease is in the database", async (t) => {
    const { channel, handled, send } = await child(t);
    const worker = await channel.ready(1);
    const id = await send();
    // Many times the poll interval.
    await waitFor(() => channel.said.filter(({ kind }) => kind === "beat").length >= 2, { what: "a second beat" });
    assert.equal(handled.length, 0);
    channel.tell(renewal(worker));
    await waitFor(() => handled.includes(id), { what: "the message to be handled" });
  });

  test("finds what it is woken for, also by a supervisor of an earlier build, which names no queues", async (t) => {
    const { channel, handled, send } = await child(t, 3_600_000);
    channel.tell(renewal(await channel.ready(1)));
    for (const wakeUp of [{ queues: ["default"] }, { queues: [] }, {}]) {
      const id = await send();
      channel.tell({ kind: "wake", transport: "memory", ...wakeUp });
      await waitFor(() => handled.includes(id), { what: `the message after ${JSON.stringify(wakeUp)}` });
    }
  });

  test("takes a new id when it was reaped, and no word about the old one lets it receive", async (t) => {
    const { channel, handled, send } = await child(t);
    const old = await channel.ready(1);
    channel.tell(renewal(old));
    channel.tell({ kind: "leaseLost", transport: "memory", workerId: old.workerId });
    const fresh = await channel.ready(2);
    assert.notEqual(fresh.workerId, old.workerId);
    channel.tell(renewal(old));
    // Late, too: it must not lose the lease that it does not have yet.
    channel.tell({ kind: "leaseLost", transport: "memory", workerId: old.workerId });
    const id = await send();
    const beats = channel.said.filter(({ kind }) => kind === "beat").length;
    await waitFor(() => channel.said.filter(({ kind }) => kind === "beat").length > beats, { what: "another beat" });
    assert.equal(handled.length, 0);
    channel.tell(renewal(fresh));
    await waitFor(() => handled.includes(id), { what: "the message to be handled" });
    assert.equal(channel.said.filter(({ kind }) => kind === "ready").length, 2);
  });

  test("gives up at once when the word of its renewal is older than its patience", async (t) => {
    const { channel } = await child(t);
    const worker = await channel.ready(1);
    channel.tell(renewal(worker, 8_000));
    assert.notEqual((await channel.ready(2)).workerId, worker.workerId);
  });

  test("ends when the supervisor is gone", async (t) => {
    const { channel, ended } = await child(t);
    channel.tell(renewal(await channel.ready(1)));
    const exit = t.mock.method(process, "exit", () => undefined as never);
    channel.emit("disconnect");
    assert.equal(await ended, "error");
    assert.equal(exit.mock.callCount(), 0);
  });

  test("tells what made it fail before it had started", async () => {
    const channel = new TestChannel();
    await assert.rejects(
      runChild(async () => {
        throw new RangeError("half a configuration");
      }, channel),
      /half a configuration/,
    );
    assert.deepEqual(
      channel.said.map((message) => (message.kind === "failed" ? message.error.message : message.kind)),
      ["half a configuration"],
    );
  });
});
