import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Listed, Roster } from "./roster.ts";

class Guest implements Listed {
  place = -1;
  readonly luggage: readonly number[];

  constructor(n = 0) {
    this.luggage = Array.from({ length: 100 }, (_, i) => n + i);
  }
}

test("knows who is here, whoever leaves in between", () => {
  const roster = new Roster<Guest>();
  const [a, b, c] = [new Guest(), new Guest(), new Guest()];
  for (const guest of [a, b, c]) roster.add(guest);
  assert.equal(roster.delete(a), true);
  assert.equal(roster.delete(a), false, "it has left already");
  assert.deepEqual(new Set(roster.all()), new Set([b, c]));
  roster.add(a);
  assert.equal(roster.size, 3);
  assert.equal(new Roster<Guest>().delete(a), false, "it is in another one");
  roster.clear();
  assert.equal(roster.size, 0);
  assert.equal(roster.delete(b), false);
  roster.add(b);
  assert.deepEqual(roster.all(), [b], "it goes on after it was cleared");
});

test("keeps nothing of those who have left, also when it is old itself", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (how?: { type: "minor" }) => void;
  const old = (): number => getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")?.space_used_size ?? 0;
  const roster = new Roster<Guest>();
  const guests: Guest[] = [];
  const welcome = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const guest = new Guest(i);
      guests.push(guest);
      roster.add(guest);
      if (guests.length > 20) roster.delete(guests.splice(0, 1)[0] as Guest);
    }
  };
  welcome(1_000);
  collect();
  const before = old();
  for (let round = 0; round < 10; round++) {
    welcome(2_000);
    collect({ type: "minor" });
  }
  // 20,000 of them have 16 MB of luggage; a set keeps most of that.
  assert.equal(old() - before < 1_000_000, true, `${old() - before} bytes more`);
});
