import { createHash } from "node:crypto";
import { type KeptRequest, type Logger, type Messenger, type RequestStore, toErrorRecord } from "@symphony/core";
import type { Principal } from "../auth/tokens.ts";
import { HttpProblem, invalid } from "../http/problem.ts";
import { text } from "../routes/fields.ts";
import { requestStore } from "../transports.ts";

export interface OnceRequest {
  /** The header `Idempotency-Key`, as it was given. */
  readonly key: string;
  readonly principal: Principal;
  /** What is asked for: route and everything that was sent along. */
  readonly content: readonly unknown[];
  /** Takes longer than a transaction should. */
  readonly isLong: boolean;
}

/** As it can be kept: plain data. */
export interface OnceAnswer {
  readonly status: number;
  readonly body: unknown;
}

export const idempotencyKey = text(255);
const DAY_MS = 86_400_000;
/** Milliseconds for which a long request is taken to be under way; `consume` answers within one minute. */
const UNDER_WAY_MS = 120_000;
const RETRY_AFTER_S = 5;

/** Carries out each request that comes with a key once, on whichever server it arrives, and repeats its answer for a day. */
export class Once {
  readonly #messenger: Messenger;
  readonly #logger: Logger;

  constructor(o: { readonly messenger: Messenger; readonly logger: Logger }) {
    this.#messenger = o.messenger;
    this.#logger = o.logger;
  }

  /**
   * `work`, unless it was done before under this key: then its answer. What was refused may be tried again.
   *
   * @throws {HttpProblem} 400 the key is none, 409 the first request is under way, 422 the key belongs to another request.
   */
  async answer(request: OnceRequest, work: () => Promise<OnceAnswer>): Promise<OnceAnswer & { readonly isRepeated: boolean }> {
    if (!idempotencyKey.safeParse(request.key).success)
      throw invalid([{ path: "Idempotency-Key", message: "must have 1 to 255 printable characters" }]);
    const store = requestStore(this.#messenger);
    const key = digest(["request", request.principal.digest.toString("hex"), request.key]);
    const claim = { key, fingerprint: digest(request.content), forMs: DAY_MS };
    if (request.isLong) return this.#long(store, claim, work);
    const { kept, isNew } = await store.answerOnce(claim, work);
    if (isNew && kept.answer !== undefined) return { ...kept.answer, isRepeated: false };
    return again(kept, claim.fingerprint);
  }

  async #long(store: RequestStore, claim: { key: string; fingerprint: string }, work: () => Promise<OnceAnswer>) {
    const kept = await store.claim({ ...claim, forMs: UNDER_WAY_MS });
    if (kept !== undefined) return again(kept, claim.fingerprint);
    let answer: OnceAnswer;
    try {
      answer = await work();
    } catch (error) {
      await this.#quietly(store.release(claim.key));
      throw error;
    }
    // It is done: its answer is due even if it cannot be kept.
    await this.#quietly(store.keep(claim.key, answer, DAY_MS));
    return { ...answer, isRepeated: false };
  }

  async #quietly(change: Promise<void>): Promise<void> {
    try {
      await change;
    } catch (error) {
      this.#logger.warn({ err: toErrorRecord(error) }, "what became of a request with a key could not be written down");
    }
  }
}

function again({ fingerprint, answer }: KeptRequest, wanted: string): OnceAnswer & { readonly isRepeated: true } {
  if (fingerprint !== wanted)
    throw new HttpProblem(422, "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was sent before, with another request");
  if (answer === undefined)
    throw new HttpProblem(409, "REQUEST_IN_PROGRESS", "the request with this Idempotency-Key is being carried out", {
      headers: { "retry-after": String(RETRY_AFTER_S) },
    });
  return { ...answer, isRepeated: true };
}

const digest = (content: readonly unknown[]): string => createHash("sha256").update(JSON.stringify(content)).digest("hex");
