import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Outcome } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { createPoolKit, type PoolKit } from "./testing/pool-kit.ts";
import config, { Leave } from "./testing/resets.config.ts";

const configPath = new URL("./testing/resets.config.ts", import.meta.url).href;

/** How many messages found their thread as it was at the start, and how many did not, once so many have said so. */
async function found({ said }: PoolKit, messages: number): Promise<{ clean: number; stained: number }> {
  const counts = () => ({ clean: said.count("clean"), stained: said.count("stained") });
  await waitFor(() => counts().clean + counts().stained === messages, { what: `${messages} messages to be handled` });
  return counts();
}

const nameOf = (outcome: Outcome): string => (outcome.kind === "interrupted" ? outcome.reason : outcome.kind);

describe("resettable services in pool threads", () => {
  test("are reset in the thread that ran the handler, before the next message there", async () => {
    await using kit = await createPoolKit({ config, configPath, threads: 2, concurrency: 2 });
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => kit.run(Leave, { n })));
    assert.deepEqual([...new Set(outcomes.map(nameOf))], ["handled"]);
    assert.deepEqual(await found(kit, 40), { clean: 40, stained: 0 });
    const threads = new Set<number>();
    for (let i = 0; i < 40; i++) threads.add((await kit.said.next("clean")).threadId);
    assert.equal(threads.size, 2, "both threads took some");
  });

  test("are left alone when none is wanted", async () => {
    const never = { ...config, worker: { resetEvery: 0 } };
    await using kit = await createPoolKit({ config: never, configPath, threads: 1, concurrency: 1 });
    for (let n = 0; n < 3; n++) await kit.run(Leave, { n });
    assert.deepEqual(await found(kit, 3), { clean: 1, stained: 2 });
  });

  test("that fail: the message stays handled, the thread is replaced, and no other message is lost or accused", async () => {
    await using kit = await createPoolKit({ config, configPath, threads: 1, concurrency: 1 });
    const breaking = kit.run(Leave, { n: 0, breaks: true });
    const others = Array.from({ length: 6 }, (_, n) => kit.run(Leave, { n }));
    assert.equal(nameOf(await breaking), "handled");
    const kinds = (await Promise.all(others)).map(nameOf);
    assert.ok(
      kinds.every((kind) => kind === "handled" || kind === "neighbour"),
      kinds.join(),
    );
    assert.ok(kinds.filter((kind) => kind === "neighbour").length <= 1, "only the one that had come to its turn goes back");
    const handled = 1 + kinds.filter((kind) => kind === "handled").length;
    assert.deepEqual(await found(kit, handled), { clean: handled, stained: 0 });
    assert.deepEqual([kit.pool.getThreads().restarts, kit.pool.getThreads().suspects], [1, 0], kit.logger.messages("error").join("; "));
    assert.match(JSON.stringify(kit.logger.records), /RESET_FAILED/);
  });
});
