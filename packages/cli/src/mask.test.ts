import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { maskDsn, redact, secretsOf } from "./mask.ts";

test("hides the password of a DSN and leaves the rest readable", () => {
  assert.equal(
    maskDsn("postgres://app:hunter22@db.internal:5432/shop?sslmode=require"),
    "postgres://app:***@db.internal:5432/shop?sslmode=require",
  );
  assert.equal(maskDsn("postgres://app@db/shop"), "postgres://app@db/shop");
  assert.equal(maskDsn("embedded:"), "embedded:");
  assert.equal(maskDsn("memory:"), "memory:");
});

test("hides secrets in query parameters and in libpq's form", () => {
  assert.equal(maskDsn("postgres://db/shop?user=a&password=hunter22&sslkey=k"), "postgres://db/shop?user=a&password=***&sslkey=***");
  assert.equal(maskDsn("host=db user=a password=hunter22 dbname=shop"), "host=db user=a password=*** dbname=shop");
  assert.equal(maskDsn("host=db password='two words' dbname=shop"), "host=db password=*** dbname=shop");
});

test("hides the whole of a password that breaks the URL", () => {
  for (const password of ["a/b?c@d", "x@y/z", "p@?w", "#hash/", "100%"]) {
    const masked = maskDsn(`postgres://app:${password}@db/shop`);
    assert.equal(masked.includes(password), false, masked);
    assert.equal(masked.endsWith("db/shop"), true, masked);
  }
});

test("no generated password survives masking", () => {
  const password = fc
    .string({ minLength: 8, maxLength: 40 })
    .map(encodeURIComponent)
    .filter((text) => text.length >= 8 && !"postgres://app:@db/shop".includes(text));
  fc.assert(fc.property(password, (secret) => !maskDsn(`postgres://app:${secret}@db/shop`).includes(secret)));
});

test("redacts a password in other text, as written and decoded", () => {
  const secrets = secretsOf("postgres://app:p%40ssw0rd@db/shop");
  assert.equal(redact("refused for p@ssw0rd (p%40ssw0rd)", secrets), "refused for *** (***)");
});
