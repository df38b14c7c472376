import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { fingerprint } from "./fingerprint.ts";

const error = (more: object = {}) => ({
  name: "TypeError",
  message: "user 42 has no name",
  stack: "TypeError: user 42 has no name\n    at load (/srv/app/src/users.ts:10:5)\n    at run (/srv/app/src/main.ts:3:1)",
  ...more,
});

describe("a fingerprint", () => {
  test("is sixteen hex digits for any error", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (type, name, message, stack) => {
        assert.match(fingerprint(type, { name, message, stack }), /^[0-9a-f]{16}$/);
      }),
    );
  });

  test("does not change with numbers, ids, quoted text and lines", () => {
    const same = (a: object, b: object): void => assert.equal(fingerprint("t", error(a)), fingerprint("t", error(b)));
    same({ message: "user 42 has no name" }, { message: "user 7 has no name" });
    same({ message: 'no row for "alice"' }, { message: 'no row for "bob smith"' });
    same({ message: "no row 0190163d-8694-739b-aea5-966c26f8ad91" }, { message: "no row 01901640-0000-7000-8000-000000000000" });
    same({ message: "commit deadbeefdeadbeef failed" }, { message: "commit 0123456789abcdef failed" });
    same({}, { stack: error().stack.replace(":10:5", ":99:1") });
    same({}, { stack: error().stack.replaceAll("/srv/app", "/home/other/checkout") });
  });

  test("tells apart what are different bugs", () => {
    const base = fingerprint("t", error());
    const others = [
      fingerprint("u", error()),
      fingerprint("t", error({ name: "RangeError" })),
      fingerprint("t", error({ code: "E_OTHER" })),
      fingerprint("t", error({ message: "user 42 has no address" })),
      fingerprint("t", error({ stack: error().stack.replace("users.ts", "orders.ts") })),
    ];
    assert.equal(new Set([base, ...others]).size, 6);
  });

  test("looks past the frames of Node and of packages to the first own one", () => {
    const own = "    at load (/srv/app/src/users.ts:10:5)";
    const deep = `TypeError: x\n    at new Promise (node:internal:1:1)\n    at query (/srv/app/node_modules/pg/lib/client.js:5:5)\n${own}`;
    assert.equal(fingerprint("t", error({ stack: deep })), fingerprint("t", error()));
  });

  test("of a huge message and stack is made in no time", { timeout: 5_000 }, () => {
    const slashes = `    at ${"/a".repeat(4000)}/`;
    fingerprint("t", { name: "E", message: `${"'".repeat(499)}${"f".repeat(1_000_000)}`, stack: `${slashes}\n`.repeat(2) });
  });
});
