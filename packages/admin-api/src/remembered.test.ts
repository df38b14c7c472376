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
  assert.deepEqual(await remembered.get("k", async () => 1), { value: 1, at: clock.now(), readMs: clock.monotonic(), isStale: false });
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

const pick = ({ value, isStale }: { value: number; isStale: boolean }) => [value, isStale];
