import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedBed } from "./admin-bed.ts";
import { CORPUS } from "./corpus.ts";
import { head, raw, statusOf } from "./raw.ts";

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

test("cuts off whoever does not finish a request, and says that it took too long", async () => {
  const auth = `Authorization: Bearer ${target.token}`;
  const slow = {
    "a length that is larger than what is sent": head(
      [auth, "Content-Type: application/json", "Content-Length: 1000"],
      "/api/symphony/dispatch",
      "POST",
      "{",
    ),
    "chunks without an end": head(
      [auth, "Content-Type: application/json", "Transfer-Encoding: chunked"],
      "/api/symphony/dispatch",
      "POST",
      "1\r\n{\r\n",
    ),
    "headers without an end": `GET /api/symphony/status HTTP/1.1\r\nHost: localhost\r\n${auth}\r\nX-Slow: `,
  };
  // 30 s for a request and 10 s for its headers, looked at every 5 s.
  const answers = await Promise.all(
    Object.entries(slow).map(async ([what, bytes]) => [what, statusOf(await raw(bed.url, bytes, { patienceMs: 50_000 }))]),
  );
  assert.deepEqual(Object.fromEntries(answers), Object.fromEntries(Object.keys(slow).map((what) => [what, 408])));
});

test("tells the same of a thousand actions, a dozen at a time, as their effects do", async () => {
  const ids: string[] = [];
  for (let n = 0; n < 340; n += 1) {
    const sent = await bed.ask("POST", "/api/symphony/dispatch", { body: { message: { type: "test.fail", payload: { n } } } });
    ids.push(sent.body.messageId);
  }
  await bed.ask("POST", "/api/symphony/consume", { body: { timeLimit: 10_000, maxConcurrency: 20, batchSize: 100 } });
  const before = (await bed.database.query<{ id: string }>("SELECT id::text FROM symphony.messenger_audit ORDER BY id DESC LIMIT 1"))[0]
    ?.id;
  // Each message is wanted by several at a time, who want different things of it.
  const actions = ids.flatMap((id, n) => [
    ["DELETE", `/api/symphony/failed/${id}`],
    ["POST", `/api/symphony/failed/${id}/retry`],
    ...(n % 2 === 0 ? [["DELETE", `/api/symphony/failed/${id}`]] : [["POST", `/api/symphony/messages/${id}/cancel`]]),
  ]) as [string, string][];
  const left = actions.values();
  const done: string[] = [];
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (const [method, path] of left) if ((await bed.ask(method, path)).status === 200) done.push(`${method} ${path}`);
    }),
  );
  const recorded = await bed.database.query<{ action: string; target: string; count: number }>(
    `SELECT action, target, count::int FROM symphony.messenger_audit WHERE id > '${before}' AND outcome = 'done'`,
  );
  const told = recorded.map(({ action, target: id }) =>
    action === "remove"
      ? `DELETE /api/symphony/failed/${id}`
      : `POST /api/symphony/${action === "retry" ? "failed" : "messages"}/${id}/${action}`,
  );
  assert.deepEqual(told.sort(), done.sort());
  assert.ok(done.length >= ids.length, `only ${done.length} of ${actions.length} did anything`);
  assert.ok(recorded.every(({ count }) => count === 1));
  // What the records say is what is there: removed ones are in the trash, retried ones wait, and cancelled ones do not.
  for (const id of ids) {
    const last = recorded.filter((record) => record.target === id).map(({ action }) => action);
    const { state } = (await bed.ask("GET", `/api/symphony/messages/${id}`)).body.message;
    const expected = last.includes("cancel")
      ? ["cancelled", "unknown"]
      : last.includes("remove")
        ? ["unknown"]
        : last.includes("retry")
          ? ["waiting"]
          : ["failed"];
    assert.ok(expected.includes(state), `${id} is ${state} after ${last.join(" and ")}`);
  }
});
