import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { behaviourOf } from "./behaviour.ts";
import { SUBSCRIBERS, subscribersOf } from "./subscribers.ts";

const named = (name: string) => {
  const found = SUBSCRIBERS.find((one) => one.name === name);
  assert.ok(found);
  return found;
};
const checksum = (i: number): string => createHash("sha256").update(String(i)).digest("hex");

test("answers the same request alike with the same seed, and otherwise with another", () => {
  const chat = named("chat");
  const answers = (seed: string) => Array.from({ length: 200 }, (_, i) => behaviourOf(chat, { seed, checksum: checksum(i), attempt: 1 }));
  assert.deepEqual(answers("a"), answers("a"));
  assert.notDeepEqual(answers("a"), answers("b"));
});

test("misbehaves as often as the subscriber is said to", () => {
  const chat = named("chat");
  const times = 20_000;
  const counts = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const behaviour = behaviourOf(chat, { seed: "s", checksum: checksum(i), attempt: 1 });
    counts.set(behaviour, (counts.get(behaviour) ?? 0) + 1);
  }
  for (const [behaviour, share] of chat.faults) {
    const seen = (counts.get(behaviour) ?? 0) / times;
    assert.ok(Math.abs(seen - share) < 0.01, `${behaviour}: ${seen}, said ${share}`);
  }
});

test("leaves a subscriber that is down for every attempt, so that retries run out", () => {
  const archive = named("archive");
  for (let attempt = 1; attempt <= 4; attempt++) assert.equal(behaviourOf(archive, { seed: "s", checksum: "c", attempt }), "down");
});

test("tells who wants to hear of an event", () => {
  assert.deepEqual(
    subscribersOf("release").map((one) => one.name),
    ["chat", "archive"],
  );
  assert.deepEqual(subscribersOf("watch"), []);
});
