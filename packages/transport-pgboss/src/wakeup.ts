import type { Logger, Runtime, Timer } from "@symphony/core";
import type pg from "pg";
import type { Database } from "./connection.ts";
import { channelOf, queuesIn } from "./notifier.ts";
import type { QueueDirectory } from "./queues.ts";
import { NOTIFY } from "./statements.ts";

/** What a notification names beside queues: something was cancelled while somebody held it. No queue can be called so. */
export const CANCELLED = "!cancelled";

type WakeListener = (queues: readonly string[]) => void;

const HEARTBEAT_MS = 10_000;
const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 30_000;
/** For a notification to come back to us through a pooler. */
const PROBE_MS = 1_000;

/**
 * Listens on one connection of its own for everybody in this process; what was heard may be claimed on it (see `Listener`).
 *
 * What is notified while the connection is away is not delivered: after each reconnection every listener is told that
 * any queue may have something. Behind a pooler that gives each statement another connection nothing can be heard;
 * that is found out, said once, and left to polling.
 */
export class WakeUp {
  readonly #database: Database;
  readonly #queues: QueueDirectory;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #channel: string;
  readonly #listeners = new Set<WakeListener>();
  readonly #cancelListeners = new Set<() => void>();
  #client: pg.Client | undefined;
  #starting: Promise<void> | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #deaf = false;
  #closed = false;
  #onProbe: (() => void) | undefined;

  constructor(input: { database: Database; queues: QueueDirectory; runtime: Runtime; logger: Logger; schema: string }) {
    this.#database = input.database;
    this.#queues = input.queues;
    this.#runtime = input.runtime;
    this.#logger = input.logger;
    this.#channel = channelOf(input.schema);
  }

  async onWake(listener: WakeListener): Promise<() => Promise<void>> {
    // A function of its own for each call: one listener may be added twice, and is removed once each.
    const own: WakeListener = (queues) => listener(queues);
    return this.#listen(this.#listeners, own);
  }

  /** Hears of cancellations. */
  onCancel(listener: () => void): Promise<() => Promise<void>> {
    const own = (): void => listener();
    return this.#listen(this.#cancelListeners, own);
  }

  /** Something was cancelled, as was learned in another way than by a notification. */
  tellCancelled(): void {
    for (const listener of [...this.#cancelListeners]) this.#call(listener);
  }

  async #listen<L>(listeners: Set<L>, own: L): Promise<() => Promise<void>> {
    listeners.add(own);
    this.#starting ??= this.#connect().catch((error: unknown) => this.#again(error));
    await this.#starting;
    return async () => {
      listeners.delete(own);
      if (this.#isIdle) await this.#stop();
    };
  }

  get #isIdle(): boolean {
    return this.#listeners.size === 0 && this.#cancelListeners.size === 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#cancelListeners.clear();
    await this.#stop();
  }

  async #stop(): Promise<void> {
    await this.#starting;
    if (!this.#isIdle) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#starting = undefined;
    await this.#end();
  }

  async #end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#database.listener.use(undefined);
    if (client !== undefined) await this.#database.end(client);
  }

  async #connect(): Promise<void> {
    if (this.#closed || this.#deaf) return;
    const client = this.#database.listeningClient();
    // Does nothing until the connection is ours: what fails before that is thrown below.
    client.on("error", (error) => this.#lost(error, client));
    client.on("end", () => this.#lost(new Error("the listening connection ended"), client));
    client.on("notification", ({ payload }) => this.#hear(payload ?? ""));
    try {
      await client.connect();
      await client.query(`LISTEN ${this.#channel}`);
    } catch (error) {
      await this.#database.end(client);
      throw error;
    }
    if (this.#closed) return this.#database.end(client);
    this.#client = client;
    if (this.#database.facts.pooled && !(await this.#probe())) {
      this.#deaf = true;
      this.#logger.warn(
        {},
        "the database is behind a transaction pooler: workers find messages by polling only (LISTEN needs a direct connection)",
      );
      await this.#end();
      return;
    }
    // Behind a pooler it is no session of ours.
    if (!this.#database.facts.pooled) this.#database.listener.use(client);
    const again = this.#failures > 0;
    this.#failures = 0;
    this.#schedule(HEARTBEAT_MS, () => void this.#beat(client));
    if (!again) return;
    this.#tell(this.#queues.known);
    this.tellCancelled();
  }

  #hear(payload: string): void {
    const names = queuesIn(payload);
    if (names.length === 0) this.#onProbe?.();
    if (names.includes(CANCELLED)) this.tellCancelled();
    const queues = names.filter((name) => name !== CANCELLED);
    if (queues.length > 0) this.#tell(queues);
  }

  #tell(queues: readonly string[]): void {
    for (const listener of [...this.#listeners]) this.#call(() => listener(queues));
  }

  #call(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#logger.error({ err: error }, "a wake-up listener failed");
    }
  }

  /** Whether an empty notification from another connection comes here. */
  async #probe(): Promise<boolean> {
    const heard = new Promise<boolean>((resolve) => {
      this.#onProbe = () => resolve(true);
      this.#runtime.clock.schedule(PROBE_MS, () => resolve(false));
    });
    await this.#database.run(NOTIFY, [this.#channel, ""], "asking whether notifications come through");
    return heard.finally(() => {
      this.#onProbe = undefined;
    });
  }

  /** Finds a half-open connection, and one that has lost its LISTEN. */
  async #beat(client: pg.Client): Promise<void> {
    try {
      const { rows } = await client.query("SELECT 1 FROM pg_listening_channels() AS c WHERE c = $1", [this.#channel]);
      if (rows.length === 0) throw new Error("the connection is not listening any more");
      if (this.#client === client) this.#schedule(HEARTBEAT_MS, () => void this.#beat(client));
    } catch (error) {
      this.#lost(error, client);
    }
  }

  #lost(error: unknown, client: pg.Client): void {
    if (client !== this.#client) return;
    void this.#end();
    this.#again(error);
  }

  /** Connects anew after a pause. */
  #again(error: unknown): void {
    if (this.#closed || this.#isIdle) return;
    const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#logger.warn({ err: error, backoffMs }, "the listening connection is not there; workers poll until it is");
    this.#schedule(backoffMs * (0.75 + 0.25 * this.#runtime.random()), () => {
      this.#starting = this.#connect().catch((failure: unknown) => this.#again(failure));
    });
  }

  #schedule(delayMs: number, run: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#runtime.clock.schedule(delayMs, run, { unref: true });
  }
}
