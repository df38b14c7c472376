import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { type Clock, systemClock, systemRuntime } from "@symphony/core";
import { exportSPKI, SignJWT } from "jose";
import { createAdminServer, type JwtOptions, parseAuthConfig } from "./index.ts";
import { type Admin, type AdminInput, startAdmin, TOKEN } from "./testing/admin.ts";
import { AUDIENCE, type Issuer, type SigningKey, signingKey, startIssuer } from "./testing/issuer.ts";

const CLAIMS = claimsOf({});
const SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";

function claimsOf(auth: object): JwtOptions["claims"] {
  const { publicDocs: _, limits: __, trustedProxies: ___, requireCronNonce: ____, hosts: _____, ...claims } = parseAuthConfig(auth);
  return claims;
}

/** A clock that a test can set forward. */
function movableClock(): Clock & { aheadMs: number } {
  const clock = {
    aheadMs: 0,
    now: () => systemClock.now() + clock.aheadMs,
    monotonic: () => systemClock.monotonic() + clock.aheadMs,
    schedule: systemClock.schedule,
  };
  return clock;
}

interface Bed {
  readonly admin: Admin;
  readonly issuer: Issuer;
  readonly key: SigningKey;
  readonly clock: ReturnType<typeof movableClock>;
  readonly status: (token: string) => Promise<number>;
}

async function bed(t: TestContext, more: Partial<JwtOptions> = {}, input: AdminInput = {}): Promise<Bed> {
  const key = await signingKey("first");
  const issuer = await startIssuer(t, key);
  const clock = movableClock();
  const jwt = { jwksUrl: issuer.jwksUrl, issuer: issuer.url, audience: AUDIENCE, claims: CLAIMS, ...more };
  const admin = await startAdmin(t, { auth: { token: TOKEN, jwt }, runtime: { ...systemRuntime, clock }, ...input });
  const status = async (token: string): Promise<number> => (await admin.call("GET", "/api/symphony/queues", { token })).status;
  return { admin, issuer, key, clock, status };
}

const part = (value: unknown): string => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const withHeader = (token: string, header: unknown): string => [part(header), ...token.split(".").slice(1)].join(".");

test("lets in whom the issuer vouches for, with the scopes of the token, and writes who it was into the audit", async (t) => {
  const { admin, issuer, key, status } = await bed(t);
  for (const alg of ["RS256", "PS256", "EdDSA"]) {
    const other = await signingKey(alg, alg);
    await issuer.publish(key, other);
    assert.equal(await status(await issuer.sign(key)), 200);
  }
  const token = await issuer.sign(key, { scope: "symphony:operate something:else" });
  assert.equal((await admin.call("POST", "/api/symphony/consume", { token })).status, 200);
  assert.equal(await status(token), 403);
  const line = admin.logger.records.find(({ message }) => message === "action");
  assert.equal(line?.fields.principal, "6f1c8d4e-user");
  assert.ok(!JSON.stringify(admin.logger.records).includes(token));
});

test("accepts each algorithm of the list and no other", async (t) => {
  const { issuer, status } = await bed(t);
  const keys = await Promise.all(["RS256", "PS256", "ES256", "EdDSA", "RS512", "ES384"].map((alg) => signingKey(alg, alg)));
  await issuer.publish(...keys);
  const got = await Promise.all(keys.map(async (key) => [key.alg, await status(await issuer.sign(key))]));
  assert.deepEqual(Object.fromEntries(got), { RS256: 200, PS256: 200, ES256: 200, EdDSA: 200, RS512: 401, ES384: 401 });
});

test("takes no token that is signed otherwise than by a published key", async (t) => {
  const { issuer, key, status } = await bed(t);
  const rsa = await signingKey("rsa", "RS256");
  await issuer.publish(key, rsa);
  const good = await issuer.sign(rsa);
  assert.equal(await status(good), 200);
  const [head = "", body = ""] = good.split(".");
  const pem = await exportSPKI(rsa.publicKey);
  for (const alg of ["none", "None", "nOnE", "HS256"]) {
    const header = part({ alg, kid: "rsa" });
    for (const secret of [pem, pem.trim(), rsa.kid]) {
      const mac = createHmac("sha256", secret).update(`${header}.${body}`).digest("base64url");
      assert.equal(await status(`${header}.${body}.${mac}`), 401, alg);
    }
    assert.equal(await status(`${header}.${body}.`), 401, alg);
  }
  assert.equal(await status(`${head}.${body}.`), 401, "no signature");
  const impostor = { ...(await signingKey("rsa", "RS256")) };
  assert.equal(await status(await issuer.sign(impostor)), 401, "another key under the same id");
  assert.equal(await status(withHeader(good, { alg: "ES256", kid: "rsa" })), 401);
  assert.equal(
    await status(
      `${head}.${part({ ...JSON.parse(Buffer.from(body, "base64url").toString()), scope: "symphony:purge" })}.${good.split(".")[2]}`,
    ),
    401,
  );
});

test("looks for keys at the pinned address only, whatever the token says", async (t) => {
  const { issuer, status } = await bed(t);
  let asked = 0;
  const evil = await signingKey("evil", "RS256");
  const theirs = await startIssuer(t, evil);
  theirs.misbehave((response) => {
    asked += 1;
    response.end();
  });
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const own = { ...publicKey.export({ format: "jwk" }), alg: "RS256" } as Record<string, string>;
  for (const header of [{ jku: theirs.jwksUrl }, { x5u: theirs.jwksUrl }, { jwk: own }, { x5c: ["MIIB"] }])
    assert.equal(await status(await issuer.sign(evil, {}, header as object)), 401, Object.keys(header).join());
  for (const kid of ["../../etc/passwd", "' or 1=1--", "x".repeat(5_000)])
    assert.equal(await status(await issuer.sign({ ...evil, kid })), 401, kid.slice(0, 20));
  assert.equal(await status(withHeader(await issuer.sign(evil), { alg: "RS256", kid: { a: 1 } })), 401);
  assert.equal(asked, 0);
});

test("checks issuer, audience and times, with five seconds of tolerance for those that come early", async (t) => {
  const { issuer, key, status } = await bed(t);
  const now = Math.floor(Date.now() / 1_000);
  const verdicts: readonly (readonly [string, Record<string, unknown>, number])[] = [
    ["as it should be", {}, 200],
    ["one of several audiences", { aud: ["other", AUDIENCE] }, 200],
    ["another audience", { aud: "other" }, 401],
    ["no audience", { aud: undefined }, 401],
    ["another issuer", { iss: "https://example.org" }, 401],
    ["a slash behind the issuer", { iss: `${issuer.url}/` }, 401],
    ["no issuer", { iss: undefined }, 401],
    ["expired a second ago", { exp: now - 1 }, 401],
    ["a little early", { iat: now + 3, nbf: now + 3 }, 200],
    ["no expiry", { exp: undefined }, 401],
    ["an expiry in text", { exp: `${now + 600}` }, 401],
    ["not valid yet", { nbf: now + 3_600 }, 401],
    ["issued tomorrow", { iat: now + 86_400 }, 401],
    ["issued two weeks ago", { iat: now - 1_209_600 }, 401],
    ["no subject", { sub: undefined }, 401],
    ["a subject that breaks lines", { sub: "a\nb" }, 401],
    ["an ID token", { nonce: "n-0S6_WzA2Mj", at_hash: "x" }, 401],
    ["no scope", { scope: undefined }, 403],
    ["a scope nearly right", { scope: "symphony:readx" }, 403],
    ["all scopes by a star", { scope: "symphony:*" }, 403],
    ["a list where a text must be", { scope: ["symphony:read"] }, 403],
  ];
  for (const [what, claims, expected] of verdicts) assert.equal(await status(await issuer.sign(key, claims)), expected, what);
  assert.equal(await status(await issuer.sign(key, {}, { typ: "at+jwt" })), 200);
  assert.equal(await status(await issuer.sign(key, {}, { typ: "logout+jwt" })), 401);
});

test("refuses what could be read in two ways, before any key is looked for", async (t) => {
  const { issuer, key, status } = await bed(t);
  const good = await issuer.sign(key);
  const [head = "", body = "", signature = ""] = good.split(".");
  const double = `${Buffer.from(body, "base64url").toString().slice(0, -1)},"scope":"symphony:purge"}`;
  const bad = [
    `${good}.x`,
    `${good}=`,
    `${head}.${body}.${signature.slice(0, -1)}`,
    `${head}.${part(double)}.${signature}`,
    withHeader(good, { alg: "ES256", kid: "first", crit: ["exp"] }),
    withHeader(good, '{"alg":"ES256","alg":"none","kid":"first"}'),
    withHeader(good, "[]"),
    "a.b.c",
    "..",
  ];
  for (const token of bad) assert.equal(await status(token), 401, token);
  assert.equal(issuer.fetches(), 0);
});

test("answers JWTs that are refused for whatever reason alike", async (t) => {
  const { admin, issuer, key } = await bed(t);
  const now = Math.floor(Date.now() / 1_000);
  const tokens = [await issuer.sign(key, { exp: now - 60 }), await issuer.sign(key, { aud: "x" }), "a.b.c", "unknown"];
  const headers = { "x-request-id": "same" };
  const replies = await Promise.all(tokens.map((token) => admin.call("GET", "/api/symphony/queues", { token, headers })));
  assert.equal(new Set(replies.map(({ text }) => text)).size, 1);
  const reasons = admin.logger.records.filter(({ message }) => message === "authentication failed").map(({ fields }) => fields.reason);
  assert.equal(new Set(reasons).size, 4, "the log knows why");
});

test("follows a rotation: the new key within one fetch, the old one until it leaves the set", async (t) => {
  const { issuer, key, clock, status } = await bed(t);
  const old = await issuer.sign(key);
  assert.equal(await status(old), 200);
  const next = await signingKey("second");
  await issuer.publish(key, next);
  clock.aheadMs += 30_000;
  assert.equal(await status(await issuer.sign(next)), 200);
  assert.equal(issuer.fetches(), 2);
  assert.equal(await status(old), 200);
  await issuer.publish(next);
  clock.aheadMs += 300_001;
  await status(await issuer.sign(next));
  assert.equal(await status(await issuer.sign(await signingKey("third"))), 401, "waits for the fetch that has begun");
  assert.equal(await status(await issuer.sign(key)), 401);
  assert.equal(await status(await issuer.sign(next)), 200);
});

test("asks the issuer at most twice a minute, however many unknown keys are named", async (t) => {
  const { issuer, key, clock, status } = await bed(t);
  assert.equal(await status(await issuer.sign(key)), 200);
  const before = issuer.fetches();
  for (let second = 0; second < 60; second += 1) {
    const flood = Array.from({ length: 5 }, async (__, n) => status(await issuer.sign({ ...key, kid: `k${second}-${n}` })));
    assert.ok((await Promise.all(flood)).every((got) => got === 401));
    clock.aheadMs += 1_000;
  }
  assert.ok(issuer.fetches() - before <= 2, `${issuer.fetches() - before} fetches`);
  assert.equal(await status(await issuer.sign(key)), 200);
});

test("goes on with the keys it has while the issuer is away, and after ten minutes lets nobody in", async (t) => {
  const { admin, issuer, key, clock, status } = await bed(t);
  const token = (): Promise<string> => issuer.sign(key, { exp: Math.floor(clock.now() / 1_000) + 600, iat: undefined });
  assert.equal(await status(await token()), 200);
  issuer.misbehave((response) => response.writeHead(500).end());
  clock.aheadMs += 590_000;
  assert.equal(await status(await token()), 200);
  clock.aheadMs += 11_000;
  const refused = await admin.call("GET", "/api/symphony/queues", { token: await token() });
  assert.deepEqual([refused.status, refused.body.code], [503, "ISSUER_UNAVAILABLE"]);
  assert.ok(refused.headers.get("retry-after"));
  assert.equal(await status(TOKEN), 200, "API tokens do not depend on it");
  assert.equal(admin.logger.messages("error").filter((text) => text === "the issuer's keys cannot be fetched").length, 1);
  issuer.misbehave(undefined);
  clock.aheadMs += 5_000;
  assert.equal(await status(await token()), 200);
});

test("takes no key set that is too large, redirected, late or no key set", async (t) => {
  const answers = {
    "10 MB": (response) => response.end(`{"keys":[${" ".repeat(10_000_000)}]}`),
    "a redirect": (response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    "no JSON": (response) => response.end("<html>"),
    "no keys": (response) => response.end("{}"),
    "a hang-up": (response) => response.destroy(),
  } satisfies Record<string, Parameters<Issuer["misbehave"]>[0]>;
  for (const [what, answer] of Object.entries(answers)) {
    const { issuer, key, status } = await bed(t);
    issuer.misbehave(answer);
    assert.equal(await status(await issuer.sign(key)), 503, what);
  }
  const { issuer, key, status } = await bed(t);
  const startedAt = systemClock.monotonic();
  issuer.misbehave(() => undefined);
  assert.equal(await status(await issuer.sign(key)), 503, "an issuer that never answers");
  assert.ok(systemClock.monotonic() - startedAt < 4_500);
});

test("gives roles what the configuration says, wherever the issuer puts them", async (t) => {
  const claims = claimsOf({
    roles: { operator: ["symphony:read", "symphony:operate"], authenticated: [] },
    roleClaim: "app_metadata.roles",
    scopeClaim: "https://example.org/scopes",
  });
  const { issuer, key, status } = await bed(t, { claims });
  const verdicts: readonly (readonly [object, number])[] = [
    [{ app_metadata: { roles: ["operator", "toString"] } }, 200],
    [{ app_metadata: { roles: "operator" } }, 200],
    [{ app_metadata: { roles: ["authenticated", "constructor", 7] } }, 403],
    [{ user_metadata: { roles: ["operator"] }, role: "operator" }, 403],
    [{ app_metadata: null }, 403],
    [{ "https://example.org/scopes": ["symphony:read"] }, 200],
    [{ "https://example.org/scopes": ["symphony:dispatch"] }, 403],
  ];
  for (const [more, expected] of verdicts)
    assert.equal(await status(await issuer.sign(key, { scope: undefined, ...more })), expected, JSON.stringify(more));
  assert.throws(() => parseAuthConfig({ roles: { a: ["symphony:all"] } }), /config\.auth\.roles\.a\[0\] must be one of/);
});

test("limits roles to the queues that the configuration says", async (t) => {
  const roles = { team: ["symphony:read"], other: ["symphony:read"], lead: ["symphony:read"] };
  const claims = claimsOf({ roles, roleQueues: { team: ["default"], other: ["none.*", "images"] }, roleClaim: "roles" });
  const { admin, issuer, key } = await bed(t, { claims });
  const queues = async (...has: string[]): Promise<readonly string[]> => {
    const token = await issuer.sign(key, { scope: undefined, roles: has });
    const { status, body } = await admin.call("GET", "/api/symphony/queues", { token });
    assert.equal(status, 200, has.join());
    return body.queues.map((each: { queue: string }) => each.queue).sort();
  };
  assert.deepEqual(
    [await queues("lead"), await queues("team"), await queues("other"), await queues("team", "other"), await queues("lead", "team")],
    [["default", "images"], ["default"], ["images"], ["default", "images"], ["default"]],
  );
  assert.throws(() => parseAuthConfig({ roleQueues: { team: ["a/b"] } }), /roleQueues/);
});

test("lets in a user of a Supabase project with a shared secret, by their role", async (t) => {
  const claims = claimsOf({ roles: { authenticated: ["symphony:read", "symphony:dispatch"] } });
  const admin = await startAdmin(t, { auth: { jwt: { secret: SECRET, claims } } });
  const sign = (more: object, secret = SECRET): Promise<string> =>
    new SignJWT({ aud: "authenticated", role: "authenticated", sub: "f3b1", email: "ada@example.org", ...more })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setIssuer("https://abc.supabase.co/auth/v1")
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode(secret));
  const status = async (token: string): Promise<number> => (await admin.call("GET", "/api/symphony/status", { token })).status;
  assert.equal(await status(await sign({})), 200);
  assert.equal(await status(await sign({ role: "anon" })), 403);
  assert.equal(await status(await sign({ aud: "anon" })), 401);
  assert.equal(await status(await sign({}, `${SECRET}x`)), 401);
  const rsa = await signingKey("k", "RS256");
  const foreign = await startIssuer(t, rsa);
  assert.equal(await status(await foreign.sign(rsa, { aud: "authenticated" })), 401);
});

test("refuses JWT settings that would let in the wrong ones, without repeating the secret", async (t) => {
  const { messenger } = await startAdmin(t);
  const refusal = (jwt: object): string => {
    try {
      createAdminServer({ messenger, auth: { token: TOKEN, jwt: { claims: CLAIMS, ...jwt } } });
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  const jwksUrl = "https://a.supabase.co/auth/v1/.well-known/jwks.json";
  assert.equal(refusal({ jwksUrl }), "", "the issuer is in the address");
  assert.match(refusal({ jwksUrl, secret: SECRET }), /^SYMPHONY_AUTH_JWT_SECRET cannot stand beside/);
  assert.match(refusal({ jwksUrl: "https://example.org/keys" }), /^SYMPHONY_AUTH_ISSUER must be set/);
  for (const bad of ["http://example.org/.well-known/jwks.json", "file:///etc/passwd", "https://u:p@example.org/.well-known/x", "keys"])
    assert.match(refusal({ jwksUrl: bad }), /^SYMPHONY_AUTH_JWKS_URL must be/, bad);
  assert.match(refusal({ secret: "hunter2hunter2" }), /^SYMPHONY_AUTH_JWT_SECRET must have at least 32/);
  assert.doesNotMatch(refusal({ secret: "hunter2hunter2" }), /hunter2/);
  assert.match(refusal({ audience: "x" }), /needs SYMPHONY_AUTH_JWKS_URL or SYMPHONY_AUTH_JWT_SECRET/);
});

test("status tells how it stands with the issuer's keys", async (t) => {
  const { admin, issuer, key, clock, status } = await bed(t);
  const state = async () => (await admin.call("GET", "/api/symphony/status")).body.access.issuer;
  const never = { url: issuer.jwksUrl, keys: 0, fetchedAt: null, ageMs: null, usable: false, lastError: null };
  assert.deepEqual(await state(), never);
  assert.equal(await status(await issuer.sign(key)), 200);
  const { fetchedAt, ageMs, ...fetched } = await state();
  assert.deepEqual(fetched, { url: issuer.jwksUrl, keys: 1, usable: true, lastError: null });
  assert.ok(Math.abs(Date.parse(fetchedAt) - Date.now()) < 60_000 && ageMs >= 0);
  issuer.misbehave((response) => response.writeHead(500).end());
  clock.aheadMs = 601_000;
  assert.equal(await status(await issuer.sign(key, { exp: Math.floor(clock.now() / 1_000) + 60 })), 503);
  const failed = await state();
  assert.deepEqual([failed.keys, failed.usable, failed.lastError], [1, false, "the issuer answers 500"]);
  assert.ok(failed.ageMs >= 601_000);
});
