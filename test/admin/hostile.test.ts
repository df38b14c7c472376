import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedBed } from "./admin-bed.ts";
import { CORPUS } from "./corpus.ts";
import { raw, statusOf } from "./raw.ts";

const bed = await sharedBed();
const target = { token: bed.tokens.all, cron: bed.tokens.cron };

test("gives every row of the corpus exactly the answer that is due", async () => {
  const wrong: string[] = [];
  for (const { name, send, expect, closes } of CORPUS) {
    const answer = await raw(bed.url, send(target));
    const status = statusOf(answer);
    if (!expect.includes(status)) wrong.push(`${name}: ${status} instead of ${expect.join(" or ")}`);
    if (closes === true && !/^connection: close/im.test(answer)) wrong.push(`${name}: does not close`);
    if (status !== 0 && !/^x-content-type-options: nosniff/im.test(answer)) wrong.push(`${name}: without security headers`);
    if (/\bat .+\.ts:\d+|SELECT|node_modules|postgres/i.test(answer.slice(answer.indexOf("\r\n\r\n"))))
      wrong.push(`${name}: tells of its inside: ${answer.slice(-300)}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(CORPUS.length >= 125, `${CORPUS.length} rows`);
});

test("is as well afterwards as before, and has written nothing that it should not", async () => {
  const { body: status } = await bed.ask("GET", "/api/symphony/status");
  assert.equal(status.success, true);
  const text = bed.process.lines.map((line) => line.text).join("\n");
  for (const secret of [target.token, target.cron]) assert.ok(!text.includes(secret), "no credential in the log");
  assert.ok(
    bed.process.lines.every(({ json }) => json !== undefined),
    "one JSON object on each line",
  );
  assert.doesNotMatch(text, /"level":(?:50|60|"error"|"fatal")/);
});

test("keeps log lines whole whatever clients write", async () => {
  const breaking = ["a\u2028b", "\x1b[31mred", '"}{"level":"fatal', "%0a%0dfake"];
  for (const text of breaking) {
    const headers = ["Authorization: Bearer x", `User-Agent: ${Buffer.from(text).toString("latin1")}`, `X-Request-Id: ${encodeURI(text)}`];
    await raw(bed.url, `GET /api/symphony/failed/${encodeURIComponent(text)} HTTP/1.1\r\nHost: x\r\n${headers.join("\r\n")}\r\n\r\n`);
  }
  assert.ok(bed.process.lines.every(({ json, text }) => json !== undefined && !text.includes("\x1b")));
});

test("lets one of a hundred parallel retries win, and makes one message of them", async () => {
  const id = await bed.fail();
  const answers = await Promise.all(Array.from({ length: 100 }, () => bed.ask("POST", `/api/symphony/failed/${id}/retry`)));
  const count = (status: number): number => answers.filter((answer) => answer.status === status).length;
  assert.equal(count(200), 1);
  // Over the places and seats of the server some are told to come back.
  assert.equal(count(200) + count(404) + count(409) + count(503), 100, JSON.stringify(answers.map(({ status }) => status)));
  const { body } = await bed.ask("GET", "/api/symphony/queues");
  assert.equal(body.queues.find((each: { queue: string }) => each.queue === "images").ready, 1);
});

test("refuses an idempotency key for another message", async () => {
  const send = (payload: unknown) =>
    bed.ask("POST", "/api/symphony/dispatch", { body: { message: { type: "test.ping", payload } }, headers: { "idempotency-key": "one" } });
  const [first, same, other] = [await send(1), await send(1), await send(2)];
  assert.deepEqual([first.status, same.status, other.status, other.body.code], [201, 200, 409, "IDEMPOTENCY_CONFLICT"]);
  assert.equal(first.body.messageId, same.body.messageId);
});

test("does nothing that it cannot record", async () => {
  const id = await bed.fail();
  await bed.database.query("ALTER TABLE symphony.messenger_audit ADD CONSTRAINT closed CHECK (false) NOT VALID");
  try {
    const { status, body, headers } = await bed.ask("DELETE", `/api/symphony/failed/${id}`);
    assert.deepEqual([status, body.code], [503, "AUDIT_FAILED"]);
    assert.ok(headers.get("retry-after"));
    assert.equal((await bed.ask("GET", `/api/symphony/failed/${id}`)).status, 200, "it is still there");
  } finally {
    await bed.database.query("ALTER TABLE symphony.messenger_audit DROP CONSTRAINT closed");
  }
});
