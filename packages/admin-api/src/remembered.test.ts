import assert from "node:assert/strict";
import { test } from "node:test";
import { TransportError } from "@symphony/core";
import { ManualClock } from "@symphony/core/testing";
import { Remembered } from "./remembered.ts";

const away = () => Promise.reject(new TransportError("TRANSPORT_UNAVAILABLE", "away"));
const never = () => new Promise<number>(() => undefined);

test("gives what it remembers at once after one reading has failed, until that is too old", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  assert.deepEqual(await remembered.get("k", async () => 1), { value: 1, at: clock.now(), isStale: false });
  assert.equal((await remembered.get("k", away)).isStale, true, "the first one has waited");
  let asked = 0;
  const hanging = (): Promise<number> => {
    asked += 1;
    return never();
  };
  const answers = await Promise.all([remembered.get("k", hanging), remembered.get("k", hanging), remembered.get("k", hanging)]);
  assert.deepEqual(
    answers.map(({ value, isStale }) => [value, isStale]),
    [
      [1, true],
      [1, true],
      [1, true],
    ],
  );
  assert.equal(asked, 1, "a store that is away is asked once at a time");
});

test("asks the store in the background and is fresh again as soon as that answers", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  await remembered.get("k", async () => 1);
  await remembered.get("k", away);
  assert.deepEqual(pick(await remembered.get("k", async () => 2)), [1, true]);
  assert.deepEqual(pick(await remembered.get("k", async () => 3)), [3, false]);
});

test("says that the store is away when what it remembers is too old", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  await remembered.get("k", async () => 1);
  await remembered.get("k", away);
  await clock.advance(5_001);
  await assert.rejects(remembered.get("k", away), { code: "TRANSPORT_UNAVAILABLE" });
  await assert.rejects(
    remembered.get("k", () => Promise.reject(new TypeError("a defect"))),
    TypeError,
  );
});

test("waits for no answer that takes far longer than they mostly do", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  await remembered.get("k", async () => 1);
  const slow = remembered.get("k", never);
  await clock.advance(59);
  assert.equal(await Promise.race([slow, Promise.resolve("waits")]), "waits");
  await clock.advance(2);
  assert.deepEqual(pick(await slow), [1, true]);
  assert.deepEqual(pick(await remembered.get("k", never)), [1, true], "and the next one waits no more");
});

test("has more patience with a store that is always slow", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  const taking = (ms: number) => (): Promise<number> => new Promise((resolve) => void clock.schedule(ms, () => resolve(ms)));
  for (let n = 0; n < 9; n += 1) {
    const got = remembered.get("k", taking(50));
    await clock.advance(50);
    await got;
  }
  const slower = remembered.get("k", taking(150));
  await clock.advance(150);
  assert.deepEqual(pick(await slower), [150, false]);
});

test("lets a slow answer take its time when what is remembered is from before a change", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  await remembered.get("k", async () => 1);
  await clock.advance(1);
  remembered.outdate();
  const answer = Promise.withResolvers<number>();
  const got = remembered.get("k", () => answer.promise);
  await clock.advance(500);
  answer.resolve(2);
  assert.deepEqual(pick(await got), [2, false]);
  remembered.outdate();
  assert.deepEqual(pick(await remembered.get("k", away)), [2, true], "a store that says nothing at all is bridged with it");
});

test("refreshes what is old, and tells nobody when that fails", async () => {
  const clock = new ManualClock();
  const remembered = new Remembered<number>({ clock, freshMs: 0, staleMs: 5_000 });
  await remembered.refresh("k", async () => 1, 1_000);
  await remembered.refresh("k", () => assert.fail("it is young enough"), 1_000);
  await clock.advance(1_000);
  await remembered.refresh("k", away, 1_000);
  assert.deepEqual(pick(await remembered.get("k", never)), [1, true]);
});

const pick = ({ value, isStale }: { value: number; isStale: boolean }) => [value, isStale];
