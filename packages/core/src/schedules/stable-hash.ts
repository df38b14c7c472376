import { createHash } from "node:crypto";

/** A whole number from 0 to `below` - 1, the same for the same words in every process and release. */
export function spread(below: number, ...words: readonly string[]): number {
  const digest = createHash("sha256").update(JSON.stringify(words)).digest();
  return digest.readUIntBE(0, 6) % below;
}

/** A short name for a text: equal texts, equal names. */
export const fingerprintOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);
