import { createHash } from "node:crypto";
import { type Clock, type Logger, MessengerError } from "@symphony/core";
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from "jose";
import { parseStrictJson } from "../http/strict-json.ts";
import { queuesOf, scopesOf } from "./claims.ts";
import { type JwtOptions, type ParsedJwtOptions, parseJwtOptions } from "./jwt-options.ts";
import { type KeysState, RemoteKeys } from "./remote-keys.ts";
import { digestOf, type Principal, tokenIdOf } from "./tokens.ts";

/** Never both kinds at once: see `parseJwtOptions`. */
const ASYMMETRIC = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];
const SYMMETRIC = ["HS256"];

/** Seconds that two clocks may differ, for a token that is too young; one past its end is over by either clock. */
const TOLERANCE_S = 5;
/** Seconds: the longest life that Supabase lets a project choose. */
const MAX_AGE_S = 604_800;

const MAX_CHARS = 8_192;
const HEADER = { maxDepth: 4, maxKeys: 32 };
const CLAIMS = { maxDepth: 16, maxKeys: 500 };
/** Of access tokens; absent is allowed, since half of all issuers leave it out. */
const TYPES = new Set(["jwt", "at+jwt", "application/at+jwt"]);
/** What only ID tokens carry: those tell an application who somebody is, and open nothing. */
const OF_ID_TOKENS = ["at_hash", "c_hash", "nonce"];

/** The token is not accepted. The reason is for the log: the client is never told which check it failed. */
export class TokenRefused extends Error {}

/** Tells who a JWT belongs to. */
export class JwtVerifier {
  readonly #options: ParsedJwtOptions;
  readonly #clock: Clock;
  readonly #remote: RemoteKeys | undefined;
  readonly #verify: (token: string, options: JWTVerifyOptions) => Promise<JWTPayload>;

  /** @throws {ConfigError} `CONFIG_INVALID` */
  constructor(options: JwtOptions, clock: Clock, logger: Logger) {
    this.#options = parseJwtOptions(options);
    this.#clock = clock;
    const { keys } = this.#options;
    if ("secret" in keys) {
      const secret = new TextEncoder().encode(keys.secret);
      this.#verify = async (token, o) => (await jwtVerify(token, secret, { ...o, algorithms: SYMMETRIC })).payload;
    } else {
      const remote = new RemoteKeys({ url: keys.url, clock, logger });
      this.#remote = remote;
      this.#verify = async (token, o) => (await jwtVerify(token, remote.get, { ...o, algorithms: ASYMMETRIC })).payload;
    }
  }

  /** Of the issuer's keys; null: there is a secret instead. */
  get keys(): KeysState | null {
    return this.#remote?.state ?? null;
  }

  /**
   * Who the token belongs to.
   *
   * @throws {TokenRefused} it is not acceptable.
   * @throws {MessengerError} `ISSUER_UNAVAILABLE` it cannot be known.
   */
  async principalOf(token: string): Promise<Principal> {
    assertShape(token);
    const { issuer, audience, claims } = this.#options;
    const now = this.#clock.now();
    try {
      const payload = await this.#verify(token, {
        audience,
        clockTolerance: TOLERANCE_S,
        currentDate: new Date(now),
        requiredClaims: ["exp", "sub"],
        ...(issuer === undefined ? {} : { issuer }),
      });
      assertTimes(payload, now / 1_000);
      const queues = queuesOf(payload, claims);
      const limit = queues === undefined ? {} : { queues };
      return {
        ...identity(payload, issuer),
        kind: "jwt",
        tokenId: tokenIdOf(digestOf(token)),
        scopes: scopesOf(payload, claims),
        ...limit,
      };
    } catch (error) {
      if (error instanceof MessengerError || error instanceof TokenRefused) throw error;
      if (error instanceof errors.JOSEError) throw new TokenRefused(error.message, { cause: error });
      // A key that the issuer publishes and nobody can use, for one.
      throw new TokenRefused("the token cannot be checked", { cause: error });
    }
  }
}

/** By subject and not by token: a new token of the same person goes on where the last one was, also with limits and cursors. */
function identity({ sub, iss }: JWTPayload, issuer: string | undefined): Pick<Principal, "name" | "digest"> {
  if (sub === undefined || !/^[\x21-\x7e]{1,255}$/.test(sub)) throw new TokenRefused("the subject is not printable");
  const digest = createHash("sha256")
    .update(JSON.stringify(["jwt", iss ?? issuer ?? "", sub]))
    .digest();
  return { name: sub, digest };
}

/** What the library checks only together with other claims. */
function assertTimes({ iat, exp, ...claims }: JWTPayload, nowS: number): void {
  if (exp === undefined || exp <= nowS) throw new TokenRefused("it has expired");
  if (iat !== undefined && iat > nowS + TOLERANCE_S) throw new TokenRefused("it was issued in the future");
  if (iat !== undefined && iat < nowS - MAX_AGE_S - TOLERANCE_S) throw new TokenRefused("it is too old");
  const foreign = OF_ID_TOKENS.find((claim) => claim in claims);
  if (foreign !== undefined || claims.token_use === "id") throw new TokenRefused("it is an ID token");
}

/** Refuses, before any key is looked for, what an issuer never writes and parsers may read in two ways. */
function assertShape(token: string): void {
  if (token.length > MAX_CHARS) throw new TokenRefused("it is too long");
  const parts = token.split(".");
  if (parts.length !== 3 || parts.some((part) => part === "")) throw new TokenRefused("it is no signed JWT");
  const [header, claims] = parts.map((part) => Buffer.from(part, "base64url"));
  // Spare bits and stray characters: the same bytes must not have two texts.
  if (parts.some((part) => Buffer.from(part, "base64url").toString("base64url") !== part)) throw new TokenRefused("it is not canonical");
  const { typ, crit } = object(header, HEADER);
  if (crit !== undefined) throw new TokenRefused("it demands an extension");
  if (typ !== undefined && (typeof typ !== "string" || !TYPES.has(typ.toLowerCase()))) throw new TokenRefused("it is of another type");
  object(claims, CLAIMS);
}

function object(bytes: Buffer | undefined, limits: { maxDepth: number; maxKeys: number }): Readonly<Record<string, unknown>> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const value = parseStrictJson(text, limits);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new TokenRefused("it does not hold plain JSON", { cause });
  }
  throw new TokenRefused("it does not hold objects");
}
