import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { withAddress } from "../support/database.ts";
import { proxyTo } from "../support/in-test.ts";
import { adminBed } from "./admin-bed.ts";
import { Document } from "./document.ts";

const SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";

/** A token as Supabase Auth makes one for a user who has signed in. */
function userToken(claims: object = {}, secret = SECRET): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const body = { aud: "authenticated", role: "authenticated", sub: "9b2e6c1a", iat: now, exp: now + 600, ...claims };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(body)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

test("lets in a signed-in user of a Supabase project, and says no to all others", async (t) => {
  const bed = await adminBed(t, { env: { SYMPHONY_AUTH_JWT_SECRET: SECRET } });
  const status = async (token: string | null): Promise<number> => (await bed.ask("GET", "/api/symphony/status", { token })).status;
  const past = Math.floor(Date.now() / 1_000) - 60;
  assert.equal(await status(userToken()), 200);
  assert.deepEqual(
    [
      await status(null),
      await status(userToken({ exp: past })),
      await status(userToken({}, `${SECRET}!`)),
      await status(userToken({ role: "anon" })),
    ],
    [401, 401, 401, 403],
  );
  assert.equal((await bed.ask("DELETE", "/api/symphony/failed/0190b2c4-8d00-7000-8000-000000000000", { token: userToken() })).status, 403);
  const { body } = await bed.ask("GET", "/api/symphony/audit");
  assert.deepEqual([body.records[0].actor.name, body.records[0].actor.kind, body.records[0].outcome], ["9b2e6c1a", "jwt", "FORBIDDEN"]);
});

test("limits requests and failures, and says when to come back", async (t) => {
  const bed = await adminBed(t, { env: { SYMPHONY_TEST_NARROW: "1" } });
  const document = await Document.of(bed);
  const operation = document.operations.find(({ path }) => path === "/api/symphony/workers");
  assert.ok(operation !== undefined);
  const statuses = async (count: number, token: string): Promise<number[]> => {
    const got: number[] = [];
    for (let n = 0; n < count; n += 1) {
      const answer = await bed.ask("GET", operation.path, { token });
      document.check(operation, answer);
      got.push(answer.status);
    }
    return got;
  };
  const failures = await statuses(12, "w".repeat(43));
  assert.deepEqual([failures.slice(0, 10).every((each) => each === 401), failures.slice(10)], [true, [429, 429]]);
  const requests = await statuses(601, bed.tokens.scoped["symphony:read"] ?? "");
  assert.deepEqual([requests.slice(0, 600).every((each) => each === 200), requests.slice(600)], [true, [429]]);
});

test("answers while the database is away: the last status for a moment, else 503 within three seconds, and recovers", async (t) => {
  const address = { port: 0 };
  const bed = await adminBed(t, {
    dsn: (connectionString) => {
      address.port = Number(new URL(connectionString).port);
      return connectionString;
    },
  });
  assert.ok(address.port > 0);
  const proxy = await proxyTo(t, { port: address.port });
  const behind = await adminBed(t, { dsn: (connectionString) => withAddress(connectionString, "127.0.0.1", proxy.port) });
  const document = await Document.of(behind);
  assert.equal((await behind.ask("GET", "/api/symphony/status")).body.stale, false);
  proxy.blackHole({ later: true });
  const began = performance.now();
  const first = await behind.ask("GET", "/api/symphony/status");
  const firstMs = performance.now() - began;
  assert.deepEqual([first.status, first.body.stale], [200, true]);
  // 60 ms of patience where the database mostly answers in less than 15. A busy machine makes it both longer.
  assert.ok(firstMs < 1_500, `the first status took ${firstMs} ms`);
  t.diagnostic(`the first status after the black hole took ${Math.round(firstMs)} ms`);
  const [stale, ...others] = await Promise.all(
    ["/api/symphony/status", "/api/symphony/queues", "/api/symphony/failed", "/api/symphony/audit"].map(async (path) => {
      const startedAt = performance.now();
      const answer = await behind.ask("GET", path);
      const operation = document.operations.find((each) => each.path === path && each.method === "GET");
      assert.ok(operation !== undefined);
      document.check(operation, answer);
      return { ...answer, path, ms: performance.now() - startedAt };
    }),
  );
  assert.deepEqual([stale?.status, stale?.body.stale], [200, true]);
  for (const { path, status, body, ms } of others) {
    assert.deepEqual([status, body.code], [503, "TRANSPORT_UNAVAILABLE"], path);
    assert.ok(ms < 3_500, `${path} took ${ms} ms`);
  }
  const again = performance.now();
  const { body } = await behind.ask("GET", "/api/symphony/status");
  assert.equal(body.stale, true);
  assert.ok(performance.now() - again < 500, "once it has not answered, nobody waits for it");
  assert.equal((await bed.ask("GET", "/api/symphony/queues")).status, 200, "the database itself is well");
  proxy.heal();
  proxy.cut();
  const { status } = await behind.ask("GET", "/api/symphony/queues");
  assert.equal(status, 200);
});
