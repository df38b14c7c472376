import assert from "node:assert/strict";
import { test } from "node:test";
import { loadDeliveries } from "./deliveries.ts";
import { normalise } from "./normalise.ts";

const deliveries = loadDeliveries();
const named = (key: string) => {
  const delivery = deliveries.find((one) => one.key === key);
  assert.ok(delivery, key);
  return normalise(delivery.event, JSON.parse(delivery.body));
};

test("makes an activity of every payload of the package", () => {
  for (const { key, event, body } of deliveries) {
    const activity = normalise(event, JSON.parse(body));
    assert.equal(activity.event, event, key);
    assert.notEqual(activity.scope, "", key);
    assert.notEqual(activity.actor, "", key);
    assert.ok([...activity.title].length <= 120, key);
    assert.ok(activity.occurredAt === null || activity.occurredAt.endsWith("Z"), key);
    assert.ok(!JSON.stringify(activity).includes("\\u0000"), key);
  }
});

test("finds title, address and time for most events", () => {
  const activities = deliveries.map(({ event, body }) => normalise(event, JSON.parse(body)));
  const share = (has: (activity: (typeof activities)[number]) => boolean): number => activities.filter(has).length / activities.length;
  assert.ok(share((one) => one.title !== "") > 0.85);
  assert.ok(share((one) => one.url !== null) > 0.9);
  assert.ok(share((one) => one.occurredAt !== null) > 0.65);
});

test("takes repository, actor, number, title and address of an issue", () => {
  const activity = named("api.github.com/issues/0");
  assert.equal(activity.repository, "Codertocat/Hello-World");
  assert.equal(activity.scope, "Codertocat/Hello-World");
  assert.equal(activity.actor, "Codertocat");
  assert.equal(activity.title, "#1 Spelling error in the README file");
  assert.equal(activity.url, "https://github.com/Codertocat/Hello-World/issues/1");
  assert.equal(activity.occurredAt, "2019-05-15T15:20:18.000Z");
});

test("names the organization, or who did it, when there is no repository", () => {
  assert.equal(named("api.github.com/org_block/0").repository, null);
  assert.equal(named("api.github.com/org_block/0").scope, "Octocoders");
  assert.equal(named("api.github.com/security_advisory/0").scope, "github");
});

test("drops NUL from text, which PostgreSQL cannot store, and shortens long titles without cutting a character", () => {
  const title = `${"ü".repeat(118)}🎼🎼🎼`;
  const activity = normalise("issues", { action: "opened", sender: { login: "a\0b" }, issue: { title } });
  assert.equal(activity.actor, "ab");
  assert.equal(activity.title, `${"ü".repeat(118)}🎼…`);
});

test("refuses a payload that is not an object", () => {
  for (const payload of [null, 1, "text", []]) assert.throws(() => normalise("issues", payload), TypeError);
});
