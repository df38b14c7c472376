import { ConfigError, type QueuePattern } from "@symphony/core";
import type { Scope } from "./scopes.ts";
import { weaknessOf } from "./tokens.ts";

/** Whose JWTs are accepted, and what their claims allow. One of `jwksUrl` and `secret`. */
export interface JwtOptions {
  /** The issuer's public keys, by https or on this machine (`SYMPHONY_AUTH_JWKS_URL`). */
  readonly jwksUrl?: string;
  /** For HS256, at least 32 characters: of Supabase projects that still use one (`SYMPHONY_AUTH_JWT_SECRET`). */
  readonly secret?: string;
  /**
   * What `iss` must be (`SYMPHONY_AUTH_ISSUER`). Default with `jwksUrl`: what stands before `/.well-known/` in it.
   * Default with `secret`: any, since only one project knows the secret.
   */
  readonly issuer?: string;
  /** What `aud` must be or hold (`SYMPHONY_AUTH_AUDIENCE`). Default "authenticated", as Supabase Auth has it. */
  readonly audience?: string;
  readonly claims: JwtClaims;
}

/** From claims to scopes. Paths may lead into objects: `app_metadata.role`. */
export interface JwtClaims {
  /** Role → what it may do. Default: no role may do anything. */
  readonly roles: Readonly<Record<string, readonly Scope[]>>;
  /** Role → the only queues that exist for it. Default: no role is limited. */
  readonly roleQueues: Readonly<Record<string, readonly QueuePattern[]>>;
  /** Where the role stands, or the list of them. Default "role". */
  readonly roleClaim: string;
  /** Where scopes stand, by name: a text with spaces, or a list. Default "scope". */
  readonly scopeClaim: string;
}

export type JwtKeys = { readonly url: URL } | { readonly secret: string };

export interface ParsedJwtOptions {
  readonly keys: JwtKeys;
  readonly issuer: string | undefined;
  readonly audience: string;
  readonly claims: JwtClaims;
}

const DEFAULT_AUDIENCE = "authenticated";
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** @throws {ConfigError} `CONFIG_INVALID`, naming the variable and never the secret. */
export function parseJwtOptions(options: JwtOptions): ParsedJwtOptions {
  const { jwksUrl, secret, issuer, audience = DEFAULT_AUDIENCE, claims } = options;
  if (jwksUrl !== undefined && secret !== undefined) {
    // With both, a public key could be taken for the secret of a symmetric signature.
    throw bad("SYMPHONY_AUTH_JWT_SECRET", "cannot stand beside SYMPHONY_AUTH_JWKS_URL: unset the one that the issuer does not use");
  }
  if (secret !== undefined) {
    const weakness = weaknessOf(secret);
    if (weakness !== undefined) throw bad("SYMPHONY_AUTH_JWT_SECRET", weakness);
    return { keys: { secret }, issuer, audience, claims };
  }
  if (jwksUrl === undefined) throw bad("SYMPHONY_AUTH_ISSUER", "needs SYMPHONY_AUTH_JWKS_URL or SYMPHONY_AUTH_JWT_SECRET beside it");
  const url = toUrl(jwksUrl);
  const [before, ...after] = jwksUrl.split("/.well-known/");
  const known = issuer ?? (after.length === 1 ? before : undefined);
  if (known === undefined) throw bad("SYMPHONY_AUTH_ISSUER", "must be set: the address of the keys does not tell the issuer");
  return { keys: { url }, issuer: known, audience, claims };
}

function toUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "")
    throw bad("SYMPHONY_AUTH_JWKS_URL", "must be a URL without user and password");
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK.has(url.hostname)))
    throw bad("SYMPHONY_AUTH_JWKS_URL", "must be https: whoever can change the keys on their way can make tokens");
  return url;
}

const bad = (variable: string, what: string): ConfigError => new ConfigError(`${variable} ${what}`, { path: variable });
