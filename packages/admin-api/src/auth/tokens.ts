import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { type BlockList, isIPv4, isIPv6 } from "node:net";
import type { QueuePattern } from "@symphony/core";
import type { Scope } from "./scopes.ts";

/** A token as it is kept: its SHA-256, never the token itself. */
export interface TokenEntry {
  readonly name: string;
  readonly digest: Buffer;
  readonly scopes: ReadonlySet<Scope>;
  /** Milliseconds since 1970; absent: never. */
  readonly expiresAt?: number;
  /** Whence it may be used; absent: from anywhere. */
  readonly from?: BlockList;
  /** Which queues it may see and touch; absent: all. */
  readonly queues?: readonly QueuePattern[];
}

/** Who asks, as a valid token tells it. */
export interface Principal {
  /** Of the token, or the subject of a JWT. */
  readonly name: string;
  readonly kind: "token" | "jwt" | "cron";
  /** First digits of the token's digest: tells two tokens of one name apart in the log, and opens nothing. */
  readonly tokenId: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Which queues exist for them; absent: all. */
  readonly queues?: readonly QueuePattern[];
  /** Of the token, or of issuer and subject of a JWT: what limits and cursors hang on. */
  readonly digest: Buffer;
}

export const digestOf = (secret: string): Buffer => createHash("sha256").update(secret, "utf8").digest();

const TOKEN_ID_CHARS = 8;

/**
 * The principal of a presented token; undefined when it is unknown, has expired, or is used from another address than it may.
 *
 * Digests of one length are compared in constant time, and all of them always are: how long it takes tells nothing
 * about which token is nearly right.
 */
export function findPrincipal(entries: readonly TokenEntry[], presented: string, now: number, address?: string): Principal | undefined {
  const digest = digestOf(presented);
  let found: TokenEntry | undefined;
  for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found = entry;
  if (found === undefined || (found.expiresAt !== undefined && found.expiresAt <= now)) return undefined;
  if (found.from !== undefined && !isWithin(found.from, address ?? "")) return undefined;
  return toPrincipal(found);
}

function isWithin(list: BlockList, given: string): boolean {
  // A socket that takes both kinds shows those of the older one like this.
  const address = given.replace(/^::ffff:(?=\d+\.)/i, "");
  return isIPv4(address) ? list.check(address, "ipv4") : isIPv6(address) && list.check(address, "ipv6");
}

export const tokenIdOf = (digest: Buffer): string => digest.toString("hex").slice(0, TOKEN_ID_CHARS);

const toPrincipal = ({ name, digest, scopes, queues }: TokenEntry): Principal => ({
  name,
  kind: "token",
  tokenId: tokenIdOf(digest),
  scopes,
  digest,
  ...(queues === undefined ? {} : { queues }),
});

const SHORTEST_TOKEN_CHARS = 32;
/** Of 32 random hexadecimal digits fewer differ once in 40,000 times; of words and patterns nearly always. */
const FEWEST_DIFFERENT_CHARS = 10;

/** Why a token that a person chose must not be used; undefined when it may be. The reason never repeats the token. */
export function weaknessOf(token: string, shortest: number = SHORTEST_TOKEN_CHARS): string | undefined {
  if (!/^[\x21-\x7e]+$/.test(token)) return "must be printable ASCII without spaces";
  if (token.length < shortest) return `must have at least ${shortest} characters, and has ${token.length}`;
  const different = new Set(token).size;
  if (different < Math.min(FEWEST_DIFFERENT_CHARS, shortest / 2)) return `repeats ${different} characters: it can be guessed`;
  if (isRepetition(token)) return "is a short piece repeated: it can be guessed";
  return undefined;
}

/** A text that is several times the same one is found inside itself doubled, before its own length. */
const isRepetition = (text: string): boolean => (text + text).indexOf(text, 1) < text.length;

const TOKEN_BYTES = 32;

/** A new token of 32 random bytes; `sym_` in front lets secret scanners know it. */
export const newToken = (random: (bytes: number) => Buffer = randomBytes): string => `sym_${random(TOKEN_BYTES).toString("base64url")}`;
