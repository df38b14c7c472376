import assert from "node:assert/strict";
import type { DeadLetterGroup, DeadLetterGroupFilter } from "../../dead-letter-groups.ts";
import { queueName } from "../../stamps.ts";
import type { DeadLetterFilter, Failure } from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { type Claim, type ContractKit, ids } from "./kit.ts";

const ONE = "1".repeat(16);
const TWO = "2".repeat(16);
const THREE = "3".repeat(16);

const groupsOf = async (kit: ContractKit, filter: DeadLetterGroupFilter = {}, limit = 100): Promise<readonly DeadLetterGroup[]> =>
  (await kit.groupable.groupDeadLetters(filter, limit)).groups;

/** Dead-letters one message after another, so that their times differ; resolves with their ids. */
async function bury(kit: ContractKit, failures: readonly Partial<Failure>[], queue = kit.queue, type = "group.one"): Promise<string[]> {
  await kit.send(...failures.map((_, n) => testEnvelope(type, { n }, [queueName({ queue })])));
  const received = await kit.drain(failures.length);
  for (const [n, each] of received.entries()) {
    await kit.deadLetter(each, failures[n]);
    await kit.tick();
  }
  return ids(received);
}

const sizes = (groups: readonly DeadLetterGroup[]): [string, number][] => groups.map((group) => [group.fingerprint, group.count]);

export function deadLetterGroupTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) =>
    register(name, body, { ...options, needs: ["listable", "groupable", ...(options.needs ?? [])] });

  claim("has no groups without dead letters", async (kit) => {
    await kit.send(kit.envelope());
    assert.deepEqual(await kit.groupable.groupDeadLetters({}, 10), { groups: [], hasMore: false });
  });

  claim("groups by fingerprint, largest first, with what the newest tells", async (kit) => {
    const error = (message: string) => ({ name: "RangeError", message, code: "E_RANGE" });
    const buried = await bury(kit, [
      { fingerprint: TWO, error: error("oldest") },
      { fingerprint: ONE },
      { fingerprint: TWO, error: error("middle") },
      { fingerprint: TWO, error: error("newest"), reason: "timed_out" },
    ]);
    const [largest, ...others] = await groupsOf(kit);
    assert.deepEqual(sizes(others), [[ONE, 1]]);
    const { firstFailedAt, lastFailedAt, ...rest } = largest as DeadLetterGroup;
    const told = { type: "group.one", queue: kit.queue, reason: "timed_out", error: error("newest"), lastId: buried[3] };
    assert.deepEqual(rest, { fingerprint: TWO, count: 3, accuracy: "exact", ...told });
    const times = (await kit.listable.listDeadLetters({ fingerprint: TWO }, { limit: 10 })).deadLetters.map((letter) => letter.failedAt);
    assert.deepEqual([lastFailedAt, firstFailedAt], [times[0], times[2]]);
  });

  claim("answers with no more groups than were asked for, and says so", async (kit) => {
    await bury(kit, [{ fingerprint: ONE }, { fingerprint: TWO }, { fingerprint: THREE }, { fingerprint: TWO }]);
    const some = await kit.groupable.groupDeadLetters({}, 1);
    assert.deepEqual([sizes(some.groups), some.hasMore], [[[TWO, 2]], true]);
    assert.equal((await kit.groupable.groupDeadLetters({}, 3)).hasMore, false);
  });

  claim(
    "groups what fits a filter only",
    async (kit) => {
      const [a, b] = [kit.queueAt(0), kit.queueAt(1)];
      await bury(kit, [{ fingerprint: ONE }, { fingerprint: TWO }], a);
      await bury(kit, [{ fingerprint: TWO }, { fingerprint: TWO }], b);
      await bury(kit, [{ fingerprint: THREE }], b, "group.two");
      assert.deepEqual(
        sizes(await groupsOf(kit, { queue: a })).sort(),
        [
          [ONE, 1],
          [TWO, 1],
        ].sort(),
      );
      assert.deepEqual(sizes(await groupsOf(kit, { queue: b })), [
        [TWO, 2],
        [THREE, 1],
      ]);
      assert.deepEqual(sizes(await groupsOf(kit, { type: "group.two" })), [[THREE, 1]]);
      const newest = (await kit.listable.listDeadLetters({}, { limit: 10 })).deadLetters[1];
      assert.deepEqual(
        sizes(await groupsOf(kit, { since: newest?.failedAt ?? "" })).sort(),
        [
          [TWO, 1],
          [THREE, 1],
        ].sort(),
      );
      assert.deepEqual(sizes(await groupsOf(kit, { until: newest?.failedAt ?? "", queue: b })), [[TWO, 1]]);
    },
    { queues: 2 },
  );

  claim("counts no more what was redriven or removed", async (kit) => {
    const [first, second] = await bury(kit, [{ fingerprint: ONE }, { fingerprint: ONE }, { fingerprint: ONE }]);
    await kit.listable.redriveDeadLetters({ ids: [first as string] }, 1);
    await kit.listable.removeDeadLetters({ ids: [second as string] }, 1);
    assert.deepEqual(sizes(await groupsOf(kit)), [[ONE, 1]]);
  });

  claim("finds dead letters by text in their error's message, in capitals or not, with other filters and pages", async (kit) => {
    const messages = ["Connection reset by peer", "no such user: 50%_off", "the peer said: connection RESET", "timeout"];
    const buried = await bury(
      kit,
      messages.map((message, n) => ({ error: { name: "Error", message }, fingerprint: n === 0 ? ONE : TWO })),
    );
    const found = async (filter: DeadLetterFilter): Promise<readonly string[]> =>
      (await kit.listable.listDeadLetters(filter, { limit: 10 })).deadLetters.map((letter) => letter.id);
    const [reset, user, again] = buried as [string, string, string];
    assert.deepEqual(await found({ search: "connection reset" }), [again, reset]);
    assert.deepEqual(await found({ search: "50%_OFF" }), [user], "it is text, no pattern");
    assert.deepEqual(await found({ search: "5_%" }), []);
    assert.deepEqual(await found({ search: "connection", fingerprint: ONE }), [reset]);
    const page = await kit.listable.listDeadLetters({ search: "connection" }, { limit: 1 });
    assert.ok(page.nextCursor !== null);
    const next = await kit.listable.listDeadLetters({ search: "connection" }, { limit: 1, cursor: page.nextCursor });
    assert.deepEqual(
      [page, next].map((each) => each.deadLetters[0]?.id),
      [again, reset],
    );
    assert.deepEqual((await kit.listable.redriveDeadLetters({ search: "RESET" }, 1)).redriven, [reset], "the oldest first");
    assert.deepEqual((await kit.listable.removeDeadLetters({ search: "connection" }, 10)).removed, [again]);
    assert.equal((await found({})).length, 2);
  });
}
