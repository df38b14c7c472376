import { type Clock, type Logger, MessengerError, toErrorRecord } from "@symphony/core";
import { createLocalJWKSet, errors, type JWSHeaderParameters, type JWTVerifyGetKey } from "jose";
import { z } from "zod";

/** Milliseconds after which keys are fetched again, beside the requests that use the old ones. */
const FRESH_MS = 300_000;
/** Milliseconds after which keys that could not be renewed are used no more: a key may have been withdrawn for a reason. */
const USABLE_MS = 600_000;
/** Milliseconds between two fetches because of key ids that nobody knows; anybody can make one up. */
const UNKNOWN_KID_MS = 30_000;
/** Milliseconds between two tries while the issuer does not answer. */
const RETRY_MS = 5_000;
const TIMEOUT_MS = 3_000;
const MAX_BYTES = 262_144;

const keySetSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) });

/** How it stands with the keys, for operators. */
export interface KeysState {
  readonly url: string;
  /** Of the last set that could be fetched. */
  readonly keys: number;
  /** Wall clock, milliseconds since 1970; null: never. */
  readonly fetchedAt: number | null;
  readonly ageMs: number | null;
  /** Tokens can be checked with them. */
  readonly usable: boolean;
  /** Why the last try failed; null: it did not. */
  readonly lastError: string | null;
}

interface Kept {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly fetchedAt: number;
  /** Wall clock. */
  readonly at: number;
  readonly count: number;
}

export interface RemoteKeysInput {
  readonly url: URL;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The public keys of an issuer, from one pinned address.
 *
 * What a token names besides its key id (`jku`, `x5u`, `jwk`) is never looked at, and no token causes more than one fetch
 * in 30 seconds. While the issuer is away, keys stay valid for ten minutes after they were fetched, and then nobody is let in.
 */
export class RemoteKeys {
  readonly #input: RemoteKeysInput;
  #kept: Kept | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #lastError: string | null = null;
  #fetching: Promise<void> | undefined;

  constructor(input: RemoteKeysInput) {
    this.#input = input;
  }

  /**
   * The key for a token.
   *
   * @throws {MessengerError} `ISSUER_UNAVAILABLE` there are no keys, or too old ones.
   * @throws {errors.JOSEError} none fits.
   */
  readonly get: JWTVerifyGetKey = async (header, token) => {
    const kept = await this.#usable();
    try {
      return await kept.find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !this.#mayLookFor(header, kept)) throw error;
    }
    await this.#fetch();
    return (await this.#usable()).find(header, token);
  };

  get state(): KeysState {
    const kept = this.#kept;
    const known = { fetchedAt: kept?.at ?? null, ageMs: kept === undefined ? null : Math.round(this.#age()) };
    return {
      url: this.#input.url.href,
      keys: kept?.count ?? 0,
      ...known,
      usable: this.#age() <= USABLE_MS,
      lastError: this.#lastError,
    };
  }

  async #usable(): Promise<Kept> {
    const age = this.#age();
    if (age > FRESH_MS && this.#sinceTry() >= RETRY_MS) {
      const fetching = this.#fetch();
      if (age > USABLE_MS) await fetching;
    } else if (age > USABLE_MS) await this.#fetching;
    if (this.#kept !== undefined && this.#age() <= USABLE_MS) return this.#kept;
    throw new MessengerError("ISSUER_UNAVAILABLE", "the keys of the token's issuer cannot be fetched");
  }

  #mayLookFor({ kid }: JWSHeaderParameters, kept: Kept): boolean {
    // Somebody else has looked while this one was checked.
    if (this.#kept !== kept) return true;
    return kid !== undefined && this.#sinceTry() >= UNKNOWN_KID_MS;
  }

  #age(): number {
    return this.#kept === undefined ? Number.POSITIVE_INFINITY : this.#input.clock.monotonic() - this.#kept.fetchedAt;
  }

  #sinceTry(): number {
    return this.#input.clock.monotonic() - this.#triedAt;
  }

  /** One at a time; never fails: what could not be had is not there. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#tryFetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #tryFetch(): Promise<void> {
    const { url, clock, logger } = this.#input;
    const startedAt = clock.monotonic();
    this.#triedAt = startedAt;
    try {
      const keys = keySetSchema.parse(JSON.parse(await download(url, clock)));
      this.#kept = { find: createLocalJWKSet(keys), fetchedAt: startedAt, at: clock.now(), count: keys.keys.length };
      if (this.#lastError !== null) logger.info({ keys: keys.keys.length }, "the issuer's keys can be fetched again");
      this.#lastError = null;
    } catch (error) {
      // Once, not for each of the tries until it is back.
      if (this.#lastError === null) logger.error({ err: toErrorRecord(error), url: url.href }, "the issuer's keys cannot be fetched");
      this.#lastError = reasonOf(error);
    }
  }
}

const LONGEST_REASON_CHARS = 200;

/** In one line. Of a failed connection the cause says more. */
function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError || error instanceof SyntaxError) return "what came is no key set";
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return (cause instanceof Error ? cause.message : String(cause)).slice(0, LONGEST_REASON_CHARS);
}

async function download(url: URL, clock: Clock): Promise<string> {
  const abort = new AbortController();
  const timer = clock.schedule(TIMEOUT_MS, () => abort.abort(new Error(`no answer within ${TIMEOUT_MS} ms`)), { unref: true });
  try {
    const response = await fetch(url, { signal: abort.signal, redirect: "error", headers: { accept: "application/json" } });
    if (response.status !== 200 || response.body === null) throw new Error(`the issuer answers ${response.status}`);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += chunk.byteLength;
      if (bytes > MAX_BYTES) throw new Error(`the key set has more than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  } finally {
    timer.cancel();
    // Also what was not read to its end.
    abort.abort();
  }
}
