import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createInProcessExecutor, DecodeError } from "@symphony/core";
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

  test("knows whether a transport's handlers want threads at all", async () => {
    await using kit = await createPoolKit();
    assert.equal(needsThreads(kit.messenger, "default"), true);
  });
});
