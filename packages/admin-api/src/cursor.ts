import { createHmac, timingSafeEqual } from "node:crypto";
import { invalid } from "./http/problem.ts";

const MAC_CHARS = 22;

/**
 * A transport's cursor, sealed: it continues only the list that it came from, for the token that asked.
 *
 * The key is the digest of the token, so that every replica of the API can read it. Who has the token could forge a
 * cursor of their own and would see what they may see anyway.
 */
export function sealCursor(cursor: string, list: string, tokenDigest: Buffer): string {
  return `${Buffer.from(cursor).toString("base64url")}.${mac(cursor, list, tokenDigest)}`;
}

/** @throws {HttpProblem} 400 it was altered, or belongs to another list or token. */
export function openCursor(sealed: string, list: string, tokenDigest: Buffer): string {
  const [encoded = "", given = "", ...rest] = sealed.split(".");
  const cursor = Buffer.from(encoded, "base64url").toString("utf8");
  const expected = Buffer.from(mac(cursor, list, tokenDigest));
  const actual = Buffer.from(given);
  // Decoding forgives stray characters and spare bits: only the very text that was given out counts.
  const isCanonical = rest.length === 0 && Buffer.from(cursor).toString("base64url") === encoded;
  if (isCanonical && actual.length === expected.length && timingSafeEqual(actual, expected)) return cursor;
  throw invalid([{ path: "cursor", message: "must be the nextCursor of a page of this very list" }]);
}

const mac = (cursor: string, list: string, key: Buffer): string =>
  createHmac("sha256", key)
    .update(JSON.stringify([list, cursor]))
    .digest("base64url")
    .slice(0, MAC_CHARS);
