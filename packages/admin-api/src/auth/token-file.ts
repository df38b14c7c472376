import { readFileSync, statSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { type Clock, ConfigError, type Logger, toErrorRecord } from "@symphony/core";
import { parseTokenList } from "./token-list.ts";
import type { TokenEntry } from "./tokens.ts";

/** Milliseconds for which the file is taken to be unchanged. */
const LOOK_AGAIN_MS = 1_000;

/**
 * The tokens of a file, read again when it changes: within a second, without a restart and without a moment in which a
 * token that stays is refused. A change that cannot be read leaves the tokens as they were and is logged once.
 *
 * The file is looked at, not watched: a mounted Kubernetes secret changes by a link that no watcher follows reliably.
 */
export class TokenFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #entries: readonly TokenEntry[];
  #signature: string;
  #lookedAt: number;
  #looking: Promise<void> | undefined;

  /** @throws {ConfigError} `CONFIG_INVALID` the file cannot be read or is no list of tokens. */
  constructor(path: string, clock: Clock, logger: Logger) {
    this.#path = path;
    this.#clock = clock;
    this.#logger = logger;
    this.#lookedAt = clock.monotonic();
    try {
      // Before the content: a change in between is then seen at the next look.
      this.#signature = signatureOf(statSync(path));
      this.#entries = parseTokenList(readFileSync(path, "utf8"), path);
      this.#tellExpired();
    } catch (cause) {
      if (cause instanceof ConfigError) throw cause;
      throw new ConfigError(`SYMPHONY_AUTH_TOKENS_FILE names ${path}, which cannot be read: ${(cause as Error).message}`, { path }, cause);
    }
  }

  async current(): Promise<readonly TokenEntry[]> {
    if (this.#clock.monotonic() - this.#lookedAt >= LOOK_AGAIN_MS) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
      await this.#looking;
    }
    return this.#entries;
  }

  /** They are refused like unknown ones: only the log says why. */
  #tellExpired(): void {
    const now = this.#clock.now();
    const expired = this.#entries.filter(({ expiresAt }) => expiresAt !== undefined && expiresAt <= now).map(({ name }) => name);
    if (expired.length > 0) this.#logger.warn({ file: this.#path, expired }, "tokens of the tokens file have expired");
  }

  async #look(): Promise<void> {
    this.#lookedAt = this.#clock.monotonic();
    let signature = "missing";
    try {
      signature = signatureOf(await stat(this.#path));
      if (signature === this.#signature) return;
      this.#entries = parseTokenList(await readFile(this.#path, "utf8"), this.#path);
      this.#logger.info({ file: this.#path, tokens: this.#entries.length }, "the tokens file has changed and was read again");
      this.#tellExpired();
    } catch (error) {
      if (signature !== this.#signature)
        this.#logger.error({ err: toErrorRecord(error), file: this.#path }, "the tokens file cannot be read: its tokens stay as they were");
    }
    this.#signature = signature;
  }
}

const signatureOf = (file: { readonly ino: number; readonly size: number; readonly mtimeMs: number }): string =>
  `${file.ino} ${file.size} ${file.mtimeMs}`;
