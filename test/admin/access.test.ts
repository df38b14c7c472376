import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { SCOPES, sharedBed } from "./admin-bed.ts";
import { Document, type Operation } from "./document.ts";

const bed = await sharedBed();
const document = await Document.of(bed);

const NAMES: Readonly<Record<string, string>> = { name: "images" };

const target = ({ path }: Operation): string => path.replaceAll(/\{(\w+)\}/g, (_, name: string) => NAMES[name] ?? randomUUID());

const bodyOf = ({ id, body }: Operation): { body?: unknown } => {
  if (id === "dispatch") return { body: { message: { type: "test.ping", payload: 1 } } };
  return body?.required === true ? { body: {} } : {};
};

test("serves a valid OpenAPI 3.1 document, and a page that loads nothing from elsewhere", async () => {
  const { raw } = document;
  const { valid, errors } = await new Validator().validate(structuredClone(raw));
  assert.ok(valid, JSON.stringify(errors));
  const { text } = await bed.ask("GET", "/docs");
  assert.doesNotMatch(text, /(?:src|href)="(?!\/|#)|@import|url\(/);
});

test("opens every route of the document to its own scope and to nothing else", async () => {
  const { all, expired, cron, scoped } = bed.tokens;
  assert.ok(document.operations.length >= 20);
  for (const operation of document.operations) {
    const { method, path, scope } = operation;
    const status = async (token: string | null): Promise<number> => {
      const answer = await bed.ask(method, target(operation), { token, ...bodyOf(operation) });
      document.check(operation, answer);
      return answer.status;
    };
    const what = (who: string): string => `${method} ${path} with ${who}`;
    for (const [who, token] of Object.entries({ nothing: null, "a wrong token": "w".repeat(43), "an expired token": expired }))
      assert.equal(await status(token), 401, what(who));
    const isCron = scope === "cron secret";
    for (const each of SCOPES) {
      const got = await status(scoped[each] ?? null);
      if (each === scope) assert.ok(got < 500 && got !== 401 && got !== 403, `${what(each)}: ${got}`);
      else assert.equal(got, 403, what(each));
    }
    assert.equal(await status(cron), isCron ? 200 : 401, what("the cron secret"));
    const got = await status(all);
    assert.ok(isCron ? got === 403 : got < 500 && got !== 401 && got !== 403, `${what("all scopes")}: ${got}`);
  }
});

test("remembers every action of the document, done or refused", async () => {
  const unsafe = document.operations.filter(({ method, scope }) => method !== "GET" && scope !== "cron secret");
  for (const operation of unsafe) {
    const requestId = `request-${operation.id}`;
    const answer = await bed.ask(operation.method, target(operation), { ...bodyOf(operation), headers: { "x-request-id": requestId } });
    document.check(operation, answer);
    // What is not valid names nothing that exists.
    if (answer.status === 400) continue;
    const { body } = await bed.ask("GET", "/api/symphony/audit?limit=5");
    const record = body.records.find((each: { requestId: string }) => each.requestId === requestId);
    assert.ok(record !== undefined, `${operation.method} ${operation.path} (${answer.status}) left no record`);
    assert.equal(record.outcome, answer.status < 300 ? "done" : answer.body.code, operation.path);
  }
});

test("status lists the tokens that have expired, and no secret of any", async () => {
  const { body, text } = await bed.ask("GET", "/api/symphony/status");
  assert.deepEqual(body.access, {
    tokens: SCOPES.length + 2,
    expired: [{ name: "expired", expiresAt: "2020-01-01T00:00:00.000Z" }],
    issuer: null,
  });
  for (const token of [bed.tokens.all, bed.tokens.expired]) assert.ok(!text.includes(token));
});
