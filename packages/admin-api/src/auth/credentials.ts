import { type Clock, ConfigError, type Logger } from "@symphony/core";
import { JwtVerifier, TokenRefused } from "./jwt.ts";
import type { JwtOptions } from "./jwt-options.ts";
import type { KeysState } from "./remote-keys.ts";
import { SCOPES } from "./scopes.ts";
import { TokenFile } from "./token-file.ts";
import { digestOf, findPrincipal, type Principal, type TokenEntry, weaknessOf } from "./tokens.ts";

/** Who is let in. At least one of the four must be there beside `publicDocs`. */
export interface AuthOptions {
  /** One token with all scopes, at least 32 characters (`SYMPHONY_AUTH_TOKEN`). */
  readonly token?: string;
  /** Named, scoped tokens by their hash; read again when it changes (`SYMPHONY_AUTH_TOKENS_FILE`). */
  readonly tokensFile?: string;
  /** Access tokens of an issuer (`SYMPHONY_AUTH_JWKS_URL`, `SYMPHONY_AUTH_JWT_SECRET`). */
  readonly jwt?: JwtOptions;
  /** For `/api/cron/symphony-worker` and nothing else, at least 16 characters (`CRON_SECRET`). */
  readonly cronSecret?: string;
  /** The cron endpoint takes requests with a timestamp and a nonce only. Default false: those that come with them are good for one time. */
  readonly requireCronNonce?: boolean;
  /** `/openapi.json` and `/docs` without a token. Default false. */
  readonly publicDocs?: boolean;
}

const NOTHING_CONFIGURED =
  "the admin API has no credentials and stays closed: set SYMPHONY_AUTH_TOKEN to a random token of at least 32 characters, or " +
  "SYMPHONY_AUTH_TOKENS_FILE to a file of tokens (`symphony token create NAME --scopes symphony:read` makes an entry), or " +
  "SYMPHONY_AUTH_JWKS_URL to the keys of an issuer whose tokens are accepted";

/** Vercel asks for 16 and makes no longer ones by itself. */
const SHORTEST_CRON_SECRET_CHARS = 16;

/** Who it is, or why nobody is let in: that is for the log, and never for the client. */
export type Identified = { readonly principal: Principal } | { readonly principal?: never; readonly refusal: string };

const UNKNOWN: Identified = { refusal: "unknown or expired" };
const COULD_BE_JWT = /^[^.]+\.[^.]+\.[^.]*$/;

/** What is let in at the moment, for operators. */
export interface AccessState {
  readonly tokens: number;
  /** Those among them that are refused by now. */
  readonly expired: readonly { readonly name: string; readonly expiresAt: number }[];
  readonly issuer: KeysState | null;
}

/** Tells who a presented credential belongs to. */
export class Credentials {
  readonly #clock: Clock;
  readonly #own: readonly TokenEntry[];
  readonly #file: TokenFile | undefined;
  readonly #jwt: JwtVerifier | undefined;
  readonly #cron: readonly TokenEntry[];

  /** @throws {ConfigError} `CONFIG_INVALID` nothing is configured, a secret is weak, or the file cannot be read. */
  constructor(auth: AuthOptions, clock: Clock, logger: Logger) {
    const { token, tokensFile, jwt, cronSecret } = auth;
    if (token === undefined && tokensFile === undefined && jwt === undefined && cronSecret === undefined)
      throw new ConfigError(NOTHING_CONFIGURED);
    this.#clock = clock;
    this.#own = token === undefined ? [] : [entryOf("SYMPHONY_AUTH_TOKEN", token, weaknessOf(token), SCOPES)];
    this.#cron =
      cronSecret === undefined ? [] : [entryOf("CRON_SECRET", cronSecret, weaknessOf(cronSecret, SHORTEST_CRON_SECRET_CHARS), [])];
    this.#file = tokensFile === undefined ? undefined : new TokenFile(tokensFile, clock, logger);
    this.#jwt = jwt === undefined ? undefined : new JwtVerifier(jwt, clock, logger);
  }

  /** @throws {MessengerError} `ISSUER_UNAVAILABLE` a JWT cannot be checked now. */
  async ofToken(presented: string, address?: string): Promise<Identified> {
    const listed = (await this.#file?.current()) ?? [];
    const principal = findPrincipal([...this.#own, ...listed], presented, this.#clock.now(), address);
    if (principal !== undefined) return { principal };
    if (this.#jwt === undefined || !COULD_BE_JWT.test(presented)) return UNKNOWN;
    try {
      return { principal: await this.#jwt.principalOf(presented) };
    } catch (error) {
      if (error instanceof TokenRefused) return { refusal: error.message };
      throw error;
    }
  }

  async state(): Promise<AccessState> {
    const entries = [...this.#own, ...((await this.#file?.current()) ?? [])];
    const now = this.#clock.now();
    const expired = entries.flatMap(({ name, expiresAt }) => (expiresAt !== undefined && expiresAt <= now ? [{ name, expiresAt }] : []));
    return { tokens: entries.length, expired, issuer: this.#jwt?.keys ?? null };
  }

  /** The cron secret opens one route; it is not looked at anywhere else. */
  ofCronSecret(presented: string): Identified {
    const principal = findPrincipal(this.#cron, presented, this.#clock.now());
    return principal === undefined ? UNKNOWN : { principal: { ...principal, kind: "cron" } };
  }
}

function entryOf(variable: string, secret: string, weakness: string | undefined, scopes: typeof SCOPES | readonly []): TokenEntry {
  if (weakness !== undefined)
    throw new ConfigError(`${variable} ${weakness}; \`openssl rand -hex 32\` makes a good one`, { path: variable });
  return { name: variable, digest: digestOf(secret), scopes: new Set(scopes) };
}
