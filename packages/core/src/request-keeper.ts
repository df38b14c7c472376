import type { Receiver, Sender } from "./transport.ts";

/** What a request was answered, as it is given again: plain data. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A request that somebody sends under a key, so that a repetition can be told from a new one. */
export interface RequestClaim {
  /** With the client in it: two clients never share one. */
  readonly key: string;
  /** Of what is asked for: the same key for something else is a mistake. */
  readonly fingerprint: string;
  /** Milliseconds for which the key is remembered, at least 1. */
  readonly forMs: number;
}

export interface KeptRequest {
  readonly fingerprint: string;
  /** Absent: it is under way, or whoever carried it out has died over it. */
  readonly answer?: KeptAnswer;
}

/** Requests by key, for all processes on one store. */
export interface RequestStore {
  /**
   * Claims the key, does `work` and keeps its answer, in one commit with what `work` changes through this transport. A
   * key that is there already: nothing is done, and what is kept comes back. Of two at the same moment the later waits
   * for the earlier, or is told that it is under way.
   *
   * @throws whatever `work` throws; then the key is free again.
   */
  answerOnce(claim: RequestClaim, work: () => Promise<KeptAnswer>): Promise<{ readonly kept: KeptRequest; readonly isNew: boolean }>;
  /** Claims the key at once, for work that takes longer than a transaction should; resolves with what is kept when it is taken. */
  claim(claim: RequestClaim): Promise<KeptRequest | undefined>;
  /** Keeps the answer to a claimed request, for so many milliseconds from now. */
  keep(key: string, answer: KeptAnswer, forMs: number): Promise<void>;
  /** Gives a claimed key back: nothing was done under it. */
  release(key: string): Promise<void>;
  /** Forgets what is over, some thousand at a time; resolves with how many. */
  tidy(): Promise<number>;
}

/** Remembers requests, so that none is carried out twice. An optional capability of a transport. */
export interface RequestKeeping {
  readonly requests: RequestStore;
}

export const isRequestKeeping = <T extends Sender | Receiver>(t: T): t is T & RequestKeeping =>
  typeof (t as Partial<RequestKeeping>).requests?.answerOnce === "function";
