import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf, findPrincipal, type TokenEntry } from "./tokens.ts";

test("compares a token with every entry, wherever the right one stands", () => {
  const secrets = Array.from({ length: 7 }, (_, n) => `secret-${n}`);
  for (const presented of [...secrets, "unknown"]) {
    const compared: string[] = [];
    const entries = secrets.map((secret): TokenEntry => {
      const digest = digestOf(secret);
      return {
        name: secret,
        scopes: new Set(),
        get digest() {
          compared.push(secret);
          return digest;
        },
      };
    });
    const found = findPrincipal(entries, presented, 0);
    assert.equal(found?.name, presented === "unknown" ? undefined : presented);
    assert.deepEqual(compared.slice(0, secrets.length), secrets);
  }
});
