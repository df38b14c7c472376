import assert from "node:assert/strict";
import { test } from "node:test";
import { type Evidence, settleAccounts } from "./accounting.ts";

const ids = (prefix: string, count: number): ReadonlySet<string> => new Set(Array.from({ length: count }, (_, i) => `${prefix}${i}`));
const forgery = (id: string) => ({ id, type: "github.delivery", reason: "unrecoverable", error: "the signature does not match the body" });

const GOOD: Evidence = {
  payloads: 100,
  forged: 2,
  redelivered: 5,
  accepted: ids("d", 102),
  duplicates: 5,
  tables: {
    activities: 100,
    summariesDispatched: 90,
    summariesHandled: 90,
    outgoingDispatched: 40,
    repositories: 7,
    eventsInSummaries: 90,
    activitiesWithRepository: 90,
    latencyMs: [5, 9, 12],
  },
  delivered: ids("o", 40),
  repeatedDeliveries: 0,
  deadLetters: [forgery("d100"), forgery("d101")],
  redriven: ids("o", 6),
  unsettled: 0,
  countedByTransport: 230,
};

/** The transport's counters agree with what the others say, whatever that is. */
const agreeing = (evidence: Evidence): Evidence => ({
  ...evidence,
  countedByTransport: evidence.tables.activities + evidence.tables.summariesHandled + evidence.delivered.size,
});

const broken = (evidence: Evidence): string[] =>
  settleAccounts(agreeing(evidence))
    .checks.filter((check) => !check.holds)
    .map((check) => check.claim);

test("adds up when every message was handled or is a dead letter that was meant to be one", () => {
  const accounts = settleAccounts(GOOD);
  assert.deepEqual(broken(GOOD), []);
  assert.equal(accounts.addUp, true);
  assert.deepEqual(accounts.total, { type: "total", dispatched: 232, handled: 230, deadLettered: 2, afterRedrive: 6 });
});

test("notices a webhook that was accepted and is nowhere", () => {
  const lost = { ...GOOD, tables: { ...GOOD.tables, activities: 99 } };
  assert.ok(broken(lost).includes("github.delivery: handled + dead-lettered = dispatched"));
  assert.ok(broken(lost).includes("total: handled + dead-lettered = dispatched"));
  assert.equal(settleAccounts(lost).addUp, false);
});

test("notices a webhook that was never accepted", () => {
  assert.ok(broken({ ...GOOD, accepted: ids("d", 101) }).includes("payloads and forgeries posted = messages accepted"));
});

test("notices an outgoing webhook that reached nobody, and one too many", () => {
  for (const count of [39, 41]) {
    assert.ok(broken({ ...GOOD, delivered: ids("o", count) }).includes("subscriber.deliver: handled + dead-lettered = dispatched"));
  }
});

test("notices a dead letter that stays although it was not forged", () => {
  const stays = {
    ...GOOD,
    delivered: ids("o", 39),
    deadLetters: [...GOOD.deadLetters, { id: "o39", type: "subscriber.deliver", reason: "retries_exhausted", error: "" }],
  };
  assert.deepEqual(broken(stays), ["dead letters for any other reason = none"]);
});

test("notices a dead letter that was sent back and not handled", () => {
  const missed = { ...GOOD, redriven: new Set(["o1", "nowhere"]) };
  assert.deepEqual(broken(missed), ["dead letters sent back = handled afterwards"]);
});

test("notices messages that are still under way, a summary that misses events, and a repeated webhook that became a second message", () => {
  assert.deepEqual(broken({ ...GOOD, unsettled: 1 }), ["messages still waiting or in flight = none"]);
  assert.deepEqual(broken({ ...GOOD, tables: { ...GOOD.tables, eventsInSummaries: 89 } }), [
    "events in the repository summaries = activities of repositories",
  ]);
  assert.deepEqual(broken({ ...GOOD, duplicates: 4 }), ["webhooks sent twice = answered as duplicates"]);
});

test("holds the transport's own counters against the rest, unless a worker was lost", () => {
  const claims = (countedByTransport: number | null): string[] =>
    settleAccounts({ ...GOOD, countedByTransport })
      .checks.filter((check) => !check.holds)
      .map((check) => check.claim);
  assert.deepEqual(claims(230), []);
  assert.deepEqual(claims(229), ["handled by the transport's own counters = handled"]);
  assert.deepEqual(claims(null), []);
});
