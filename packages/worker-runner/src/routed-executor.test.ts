import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createInProcessExecutor, createJsonSerializer, DecodeError, LazyDelivery } from "@symphony/core";
import { createRoutedExecutor, needsThreads } from "./routed-executor.ts";
import * as m from "./testing/messages.ts";
import { createPoolKit, receivedOf } from "./testing/pool-kit.ts";

describe("routed executor", () => {
  test("runs messages where their handlers want to run, and what no handler sees in the process", async () => {
    await using kit = await createPoolKit();
    const { messenger, pool } = kit;
    const inline = createInProcessExecutor({ messenger, transport: "default", size: 4 });
    const executor = createRoutedExecutor({ messenger, transport: "default", inline, threads: pool, size: 4 });
    const { signal } = new AbortController();
    assert.equal(executor.size, 4);
    for (const type of [m.Here, m.There, m.Here, m.There])
      assert.deepEqual(await executor.execute(receivedOf(type, {}), signal), { kind: "handled" });
    for (let i = 0; i < 2; i++) {
      assert.equal((await kit.said.next("here")).isMainThread, true);
      assert.equal((await kit.said.next("there")).isMainThread, false);
    }
    const unheard = receivedOf({ ...m.Noop, name: "unheard-of" }, {});
    assert.equal((await executor.execute(unheard, signal)).kind, "noHandler");
    const { envelope: _, ...raw } = receivedOf(m.Noop, {});
    const undecodable = { ...raw, body: "{", decodeError: new DecodeError("RECORD_UNDECODABLE", "no JSON") };
    assert.equal((await executor.execute(undecodable, signal)).kind, "undecodable");
    await executor.close();
    assert.deepEqual(await pool.execute(receivedOf(m.Noop, {}), signal), { kind: "interrupted", reason: "shutdown" });
  });

  test("leaves the reading of records to their threads, once it knows where messages of their type go", async () => {
    await using kit = await createPoolKit();
    const { messenger, pool } = kit;
    const inline = createInProcessExecutor({ messenger, transport: "default", size: 4 });
    const executor = createRoutedExecutor({ messenger, transport: "default", inline, threads: pool, size: 4 });
    const { signal } = new AbortController();
    const json = createJsonSerializer();
    let reads = 0;
    const decode = (body: string) => {
      reads += 1;
      return json.decode(body);
    };
    const run = (depth = 0) => {
      const { receipt } = receivedOf(m.Noop, {});
      const id = `"${receipt.id}"`;
      // As PostgreSQL writes it.
      const body = `{"v": 1, "at": 0, "id": ${id}, "tv": 1, "root": ${id}, "type": "${m.Noop.name}", "depth": ${depth}, "payload": {}}`;
      return executor.execute(new LazyDelivery(receipt, 5, body, { ...json, decode, outline: (text) => json.outline?.(text) }), signal);
    };
    for (let n = 0; n < 3; n++) assert.deepEqual(await run(), { kind: "handled" });
    assert.equal(reads, 1, "the first of its type");
    assert.equal((await run(-1)).kind, "undecodable", "the thread says so");
    assert.equal(reads, 1);
    await executor.close();
  });

  test("knows whether a transport's handlers want threads at all", async () => {
    await using kit = await createPoolKit();
    assert.equal(needsThreads(kit.messenger, "default"), true);
  });
});
