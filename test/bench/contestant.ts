import type { Ledger } from "./ledger.ts";
import type { BenchPayload } from "./payload.ts";
import type { Work } from "./work.ts";

/** One way of sending and consuming messages, to be measured. It runs in processes of its own. */
export interface Contestant {
  readonly title: string;
  readonly store: "postgres" | "redis";
  /** Contestants with the same family read what one of them has filled. */
  readonly family: string;
  /** Named combinations of the documented settings; the fastest of a first round is the one that competes. */
  readonly candidates: Readonly<Record<string, Settings>>;
  /** Creates the schema and stores `count` messages, numbered from 0. Not measured. */
  fill(target: Target, count: number, options?: FillOptions): Promise<void>;
  /** Connects, then resolves; nothing is consumed before `start` is called. */
  prepare(input: DrainInput): Promise<Drain>;
  /** Connects for sending. */
  produce(target: Target): Promise<Producer>;
  /** Looks at what is stored and not settled. */
  look(target: Target): Promise<Look>;
}

/** Where a contestant's messages are: a database of its own, or a Redis that holds nothing else. */
export interface Target {
  readonly connectionString: string;
  readonly redisUrl?: string;
}

/** `nodeFlags`: for its consuming processes, instead of those that everybody has (`child.ts`). */
export type Settings = Readonly<Record<string, unknown>>;

export interface FillOptions {
  /** The messages are spread over so many queues. Default 1. */
  readonly queues?: number;
  /** Idle workers are woken by the store, where that must be chosen. */
  readonly notify?: boolean;
}

export interface DrainInput {
  readonly target: Target;
  readonly settings: Settings;
  readonly ledger: Ledger;
  readonly work: Work;
  readonly queues: number;
}

export interface Drain {
  start(): Promise<void>;
  /** Ends the consumer and its connections. */
  stop(): Promise<void>;
}

export interface Producer {
  /** Resolves when the message is stored for good. */
  one(payload: BenchPayload): Promise<unknown>;
  /** The same for many at once. */
  many(payloads: readonly BenchPayload[]): Promise<unknown>;
  close(): Promise<void>;
}

export interface Look {
  /** Whether anything is waiting or in flight. */
  any(): Promise<boolean>;
  count(): Promise<number>;
  close(): Promise<void>;
}

/** Splits 0…count−1 into runs, for inserts of many rows. */
export function* chunks(count: number, size = 1_000): Generator<number[]> {
  for (let from = 0; from < count; from += size) yield Array.from({ length: Math.min(size, count - from) }, (_, i) => from + i);
}

/** As ours are told to: what a crash of the server undoes is done again. */
export function withAsyncCommit(connectionString: string): string {
  const url = new URL(connectionString);
  url.searchParams.set("options", "-c synchronous_commit=off");
  return url.toString();
}
