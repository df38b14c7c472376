import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { dispatched, lineage, messageId, priority, typeVersion } from "../stamps.ts";
import { createRecordingLogger, createSignals, testEnvelope, waitFor } from "./index.ts";

describe("signals", () => {
  test("are not missed when they came before anybody waited", async () => {
    const signals = createSignals<{ settled: string }>();
    signals.emit("settled", "a");
    signals.emit("settled", "b");
    assert.deepEqual([await signals.next("settled"), await signals.next("settled"), signals.count("settled")], ["a", "b", 2]);
  });

  test("go one to each who waits, in order", async () => {
    const signals = createSignals<{ settled: number; stopped: undefined }>();
    const waiting = [signals.next("settled"), signals.next("settled"), signals.next("stopped")];
    signals.emit("stopped");
    signals.emit("settled", 1);
    signals.emit("settled", 2);
    assert.deepEqual(await Promise.all(waiting), [1, 2, undefined]);
  });

  test("say what came instead when they do not come in time", async () => {
    const signals = createSignals();
    signals.emit("other", 1);
    await assert.rejects(signals.next("settled", { timeoutMs: 20 }), /no "settled" within 20 ms; seen so far: other \(1\)/);
    const late = signals.next("settled");
    signals.emit("settled", "for the one who still waits");
    assert.equal(await late, "for the one who still waits");
  });
});

describe("waitFor", () => {
  test("resolves with the first truthy value", async () => {
    let n = 0;
    assert.equal(await waitFor(() => (++n > 3 ? "there" : undefined), { intervalMs: 1 }), "there");
  });

  test("gives up after its time, naming what was waited for", async () => {
    await assert.rejects(
      waitFor(() => 0, { timeoutMs: 20, what: "the row" }),
      /the row did not come about within 20 ms, last seen: 0/,
    );
  });

  test("passes on what the probe throws", async () => {
    const broken = (): boolean => {
      throw new Error("no table");
    };
    await assert.rejects(waitFor(broken), /no table/);
  });
});

test("a test envelope has what the bus would stamp, and keeps what it was given", () => {
  const plain = testEnvelope("t", { n: 1 });
  const id = plain.last(messageId)?.id;
  assert.deepEqual(plain.message, { type: "t", payload: { n: 1 } });
  assert.deepEqual(plain.last(lineage), { root: id, depth: 0 });
  assert.ok(plain.last(dispatched) !== undefined && plain.last(typeVersion)?.version === 1);
  const given = testEnvelope("t", 1, [messageId({ id: "mine" }), typeVersion({ version: 4 }), priority({ priority: 2 })]);
  assert.deepEqual([given.last(messageId)?.id, given.last(typeVersion)?.version, given.last(lineage)?.root], ["mine", 4, "mine"]);
  assert.equal(given.all(messageId).length, 1);
});

test("a recording logger keeps records of its children with their fields", () => {
  const logger = createRecordingLogger();
  logger.info({ a: 1 }, "first");
  logger.child({ worker: "w", a: 0 }).child({ b: 2 }).warn({ a: 3 }, "second");
  assert.deepEqual(logger.records, [
    { level: "info", fields: { a: 1 }, message: "first" },
    { level: "warn", fields: { worker: "w", b: 2, a: 3 }, message: "second" },
  ]);
  assert.deepEqual(logger.messages("warn"), ["second"]);
});
