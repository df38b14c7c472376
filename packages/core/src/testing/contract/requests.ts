import assert from "node:assert/strict";
import { isRequestKeeping, type KeptAnswer, type RequestClaim, type RequestStore } from "../../request-keeper.ts";
import { type Claim, type ContractKit, unique } from "./kit.ts";

const DAY_MS = 86_400_000;
const ANSWER: KeptAnswer = { status: 201, body: { success: true, nested: [1, null, "ü"] } };

const claimOf = (more: Partial<RequestClaim> = {}): RequestClaim => ({
  key: unique("key"),
  fingerprint: "the fingerprint",
  forMs: DAY_MS,
  ...more,
});

async function otherStore(kit: ContractKit): Promise<RequestStore> {
  const other = await kit.other();
  assert.ok(isRequestKeeping(other));
  return other.requests;
}

export function requestTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) =>
    register(name, body, { ...options, needs: ["requestKeeping", ...(options.needs ?? [])] });

  claim("carries out a request once, and gives its answer again", async (kit) => {
    const request = claimOf();
    let runs = 0;
    const work = async (): Promise<KeptAnswer> => {
      runs += 1;
      return ANSWER;
    };
    const first = await kit.requests.answerOnce(request, work);
    const second = await kit.requests.answerOnce({ ...request, fingerprint: "another" }, work);
    const kept = { fingerprint: request.fingerprint, answer: ANSWER };
    assert.deepEqual([first, second, runs], [{ kept, isNew: true }, { kept, isNew: false }, 1]);
    assert.equal((await kit.requests.answerOnce(claimOf(), work)).isNew, true, "another key is another request");
  });

  claim("frees the key of a request that failed", async (kit) => {
    const request = claimOf();
    const broken = new Error("broken");
    const work = async (): Promise<KeptAnswer> => {
      throw broken;
    };
    await assert.rejects(kit.requests.answerOnce(request, work), (error) => error === broken);
    assert.equal((await kit.requests.answerOnce(request, async () => ANSWER)).isNew, true);
  });

  claim("has one effect when the same request comes many times at once, from two processes", async (kit) => {
    const other = await kit.other();
    assert.ok(isRequestKeeping(other));
    const request = claimOf();
    let runs = 0;
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, n) => {
        const [store, transport] = n % 2 === 0 ? [kit.requests, kit.transport] : [other.requests, other];
        return store.answerOnce(request, async () => {
          runs += 1;
          // By the store that keeps the key: it is part of the same commit, and waits for no connection that a waiter has.
          const [sent] = await transport.send([kit.envelope()]);
          assert.equal(sent?.kind, "accepted");
          return ANSWER;
        });
      }),
    );
    assert.deepEqual([runs, results.filter(({ isNew }) => isNew).length], [1, 1]);
    // Those that did not wait for the end are told that it is under way.
    for (const { kept } of results) assert.ok(kept.answer === undefined || kept.answer.status === 201);
    await kit.drain(1);
  });

  claim("lets a key be claimed before the work, kept with its answer, and given back", async (kit) => {
    const request = claimOf();
    const other = await otherStore(kit);
    assert.equal(await kit.requests.claim(request), undefined);
    assert.deepEqual(await other.claim(request), { fingerprint: request.fingerprint });
    await kit.requests.keep(request.key, ANSWER, DAY_MS);
    assert.deepEqual(await other.claim(request), { fingerprint: request.fingerprint, answer: ANSWER });
    await other.release(request.key);
    assert.equal(await kit.requests.claim(request), undefined);
  });

  claim("forgets a key when its time is over", async (kit) => {
    const request = claimOf({ forMs: 50 });
    const lasting = claimOf();
    for (const each of [request, lasting]) assert.equal(await kit.requests.claim(each), undefined);
    await kit.eventually(async () => {
      await kit.tick();
      return (await kit.requests.claim({ ...request, forMs: 1 })) === undefined;
    }, "the key to be free");
    await kit.eventually(async () => {
      await kit.tick();
      return (await kit.requests.tidy()) >= 1;
    }, "the tidying");
    assert.deepEqual(await kit.requests.claim(lasting), { fingerprint: lasting.fingerprint });
  });
}
