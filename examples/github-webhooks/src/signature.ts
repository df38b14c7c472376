import { createHmac, timingSafeEqual } from "node:crypto";

const PREFIX = "sha256=";

/** The value of `X-Hub-Signature-256` for a body, as GitHub computes it. */
export function sign(body: string | Buffer, secret: string): string {
  return PREFIX + createHmac("sha256", secret).update(body).digest("hex");
}

/** Whether `signature` was made from exactly these bytes with `secret`. Takes as long for a wrong one as for a right one. */
export function isSignedWith(signature: string, body: string | Buffer, secret: string): boolean {
  const expected = Buffer.from(sign(body, secret));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
