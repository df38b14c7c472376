import type { Transport } from "../../transport.ts";

/** The optional parts of a transport; each has a guard in core (`isCountable`, …). */
export type TransportCapability =
  | "countable"
  | "listable"
  | "groupable"
  | "wakeable"
  | "setUpAble"
  | "closeable"
  | "transactional"
  | "reapable"
  | "supervisable"
  | "schedulable"
  | "redrivable"
  | "requestKeeping"
  | "auditable"
  | "pausable"
  | "findable"
  | "cancellable"
  | "purgeable"
  | "diagnosable"
  | "measurable"
  | "forwardable";

/** A transaction of the caller, opened beside the transport. */
export interface OpenTransaction {
  /** What `send` takes as `transaction`. */
  readonly client: unknown;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/** One transport, ready for use, and what a test may do to the store behind it. */
export interface TransportFixture {
  readonly transport: Transport;
  /** A second, independent transport over the same store. `close` of the fixture closes it too. */
  reopen?(): Promise<Transport>;
  /** Closes every transport of this fixture and removes what they stored. */
  close(): Promise<void>;
  /** Puts a row into the queue that is due now and whose record is `body` (JSON text, not a message); resolves with its id. */
  corrupt?(input: { queue: string; body: string }): Promise<string>;
  /** Opens a transaction on the store, as an application would. */
  beginTransaction?(): Promise<OpenTransaction>;
  /**
   * Makes it so many milliseconds longer that the store heard of this worker: its last beat, and what it holds. Without
   * it the suite waits for a second of real silence, in which a busy machine can silence the living, too.
   */
  silence?(input: { workerId: string; ms: number }): Promise<void>;
  /** In how many places the store has each unfinished message, by id: waiting, in flight, dead. For stores that can be looked into. */
  places?(): Promise<ReadonlyMap<string, number>>;
  /** Moves a manual clock. Without it the suite waits for real time, by polling with a deadline. */
  advance?(ms: number): void | Promise<void>;
  /** Wall clock of the store in milliseconds since 1970, when it is not the system's. */
  now?(): number;
  /** Of what the suite does at random, from 0 to 2^31. Default: another one each time, named when something fails. */
  readonly seed?: number;
}

/** Makes transports for the suite: each test gets its own fixture. */
export interface TransportContractHarness {
  /**
   * Resolves with a transport whose `queues` exist, and no others; their names are the same in every test. The store behind
   * it must hold nothing of other tests: no messages, dead letters, pauses, workers or requests to stop (a schema of its own,
   * or one that `close` has emptied).
   */
  create(input: { queues: readonly string[] }): Promise<TransportFixture>;
  /**
   * What the transport can do. Losing one of these, or gaining one that is not listed, fails; without a list every
   * capability that is found is tested.
   */
  readonly capabilities?: readonly TransportCapability[];
}
