import assert from "node:assert/strict";
import { test } from "node:test";
import { isSignedWith, sign } from "./signature.ts";

// The example in GitHub's manual, "Validating webhook deliveries".
const SECRET = "It's a Secret to Everybody";
const BODY = "Hello, World!";
const SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

test("signs as GitHub does", () => {
  assert.equal(sign(BODY, SECRET), SIGNATURE);
});

test("accepts the signature of exactly this body and secret", () => {
  assert.equal(isSignedWith(SIGNATURE, BODY, SECRET), true);
  assert.equal(isSignedWith(SIGNATURE, Buffer.from(BODY), SECRET), true);
});

test("refuses a changed body, another secret, a cut or empty signature", () => {
  assert.equal(isSignedWith(SIGNATURE, `${BODY} `, SECRET), false);
  assert.equal(isSignedWith(SIGNATURE, BODY, "guessed"), false);
  assert.equal(isSignedWith(SIGNATURE.slice(0, -1), BODY, SECRET), false);
  assert.equal(isSignedWith(SIGNATURE.replace("sha256", "sha1"), BODY, SECRET), false);
  assert.equal(isSignedWith("", BODY, SECRET), false);
});
