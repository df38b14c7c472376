import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AnyMessageType, createMessenger, type DispatchOptions, type Messenger, MessengerError } from "@symphony/core";
import { pause, waitFor } from "@symphony/core/testing";
import { ALL, Unknown } from "../fixtures/messages.ts";
import { installAudit, readSettlements } from "./audit-trigger.ts";
import { check, type Verdict } from "./checker.ts";
import { createDatabase, type Database, type Server, sharedServer } from "./database.ts";
import { type Fault, type Journal, type JournalEntry, now, openJournal, readJournal } from "./journal.ts";
import { allMessages, UNFINISHED } from "./messages.ts";
import { Processes, type Result, type RunningProcess } from "./processes.ts";

const CONFIG = fileURLToPath(new URL("../fixtures/symphony.config.ts", import.meta.url));

export interface TestBedOptions {
  /** Default: the shared server. The test bed does not close one that was given. */
  readonly server?: { readonly connectionString: string };
  /** As messages are sent while something fails; a proxy's address, for instance. Default: directly. */
  readonly producerDsn?: (connectionString: string) => string;
  /** Record every change of a job's state. Costs a third of the throughput. Default true. */
  readonly audit?: boolean;
}

export interface FleetOptions {
  /** Flags of `symphony consume`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another way to the database, such as through a proxy. */
  readonly dsn?: string;
  readonly transportOptions?: Readonly<Record<string, unknown>>;
  /** File of a cgroup that it joins. */
  readonly cgroup?: string;
}

/** A running `symphony consume`. */
export interface Fleet {
  readonly process: RunningProcess;
  /** Of the probes and metrics. */
  readonly port: number;
  /** Process ids of the workers below the supervisor, the journal's `pid`. */
  workerPids(): readonly number[];
  probe(path: "/livez" | "/readyz"): Promise<number>;
  /** Status of the probe with the reasons. */
  explain(path: "/livez" | "/readyz"): Promise<string>;
}

/** A database of its own with the fixtures' messages, a journal, and processes that do not outlive it. */
export class TestBed {
  readonly database: Database;
  readonly processes = new Processes();
  readonly journal: Journal;
  readonly messenger: Messenger;
  readonly #directory: string;
  readonly #release: () => Promise<void>;
  #counter = 0;

  private constructor(input: { database: Database; messenger: Messenger; directory: string; release: () => Promise<void> }) {
    this.database = input.database;
    this.messenger = input.messenger;
    this.#directory = input.directory;
    this.#release = input.release;
    this.journal = openJournal(join(input.directory, "journal.ndjson"));
  }

  static async open({ server, producerDsn = (dsn) => dsn, audit = true }: TestBedOptions = {}): Promise<TestBed> {
    const owned: Server | undefined = server === undefined ? await sharedServer() : undefined;
    const database = await createDatabase(server ?? (owned as Server));
    const open = (dsn: string): Promise<Messenger> => createMessenger({ transports: { default: { dsn } }, messages: [...ALL, Unknown] });
    const maker = await open(database.connectionString);
    await maker.setUp();
    await maker.close();
    if (audit) await installAudit(database);
    await database.query("CREATE TABLE effect (value text NOT NULL, pid int NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())");
    const messenger = await open(producerDsn(database.connectionString));
    const directory = mkdtempSync(join(tmpdir(), "symphony-test-"));
    return new TestBed({ database, messenger, directory, release: () => owned?.release() ?? Promise.resolve() });
  }

  /** For processes that a test starts by itself. */
  readonly configFile = CONFIG;

  environment(o: FleetOptions = {}): Readonly<Record<string, string>> {
    return {
      SYMPHONY_TEST_DSN: o.dsn ?? this.database.connectionString,
      SYMPHONY_TEST_JOURNAL: this.journal.path,
      SYMPHONY_TEST_TRANSPORT_OPTIONS: JSON.stringify(o.transportOptions ?? {}),
      ...o.env,
    };
  }

  /** Starts `symphony consume` and resolves when it is ready to receive. */
  async startFleet(o: FleetOptions = {}): Promise<Fleet> {
    const args = ["consume", "--config", CONFIG, "--json", "--health-port", "0", ...(o.flags ?? [])];
    const process = this.processes.symphony(args, {
      env: this.environment(o),
      ...(o.cgroup === undefined ? {} : { cgroup: o.cgroup }),
    });
    const started = await process.waitForLine("fleet starting");
    const port = Number(started.json?.health_port);
    const ask = async (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2_000) });
    const fleet: Fleet = {
      process,
      port,
      workerPids: () => childrenOf(process.pid),
      probe: async (path) => (await ask(path)).status,
      explain: async (path) => (await ask(`${path}?verbose`)).text(),
    };
    await waitFor(
      async () => {
        if (process.exited) throw new Error(`the fleet ended:\n${process.lines.map(({ text }) => text).join("\n")}`);
        return (await fleet.probe("/readyz").catch(() => 0)) === 200;
      },
      { what: "a ready fleet", timeoutMs: 30_000, intervalMs: 25 },
    );
    return fleet;
  }

  /** Runs `symphony` with the fixtures' configuration to its end. */
  symphony(args: readonly string[], o: FleetOptions & { readonly input?: string } = {}): Promise<Result> {
    return this.processes.run([...args, "--config", CONFIG], {
      env: this.environment(o),
      ...(o.input === undefined ? {} : { input: o.input }),
    });
  }

  /** A fresh value for a payload. */
  value(writer = "w"): string {
    return `${writer}-${this.#counter++}`;
  }

  /** Dispatches one message and writes down what is known of it. Resolves with its value; never rejects. */
  async dispatch(
    type: AnyMessageType,
    payload: Readonly<Record<string, unknown>> = {},
    options: DispatchOptions = {},
    writer = "w",
  ): Promise<string> {
    return (await this.send(type, payload, options, writer)).value;
  }

  /** As `dispatch`, and says whether the message was accepted. */
  async send(
    type: AnyMessageType,
    payload: Readonly<Record<string, unknown>> = {},
    options: DispatchOptions = {},
    writer = "w",
  ): Promise<{ readonly value: string; readonly isAccepted: boolean }> {
    const value = this.value(writer);
    this.journal.write({ kind: "invoke", value, at: now() });
    try {
      const { messageId } = await this.messenger.dispatch(type, { ...payload, value }, options);
      this.journal.write({ kind: "ok", value, id: messageId, at: now() });
      return { value, isAccepted: true };
    } catch (error) {
      const unknown = error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE";
      this.journal.write({ kind: unknown ? "unknown" : "refused", value, error: String(error), at: now() });
      return { value, isAccepted: false };
    }
  }

  async dispatchMany(type: AnyMessageType, count: number, payload: Readonly<Record<string, unknown>> = {}): Promise<string[]> {
    const values: string[] = [];
    for (let left = count; left > 0; left -= 500)
      values.push(...(await Promise.all(Array.from({ length: Math.min(left, 500) }, () => this.dispatch(type, payload)))));
    return values;
  }

  /** Writes a fault down, for the checker. Call the result when it is over. */
  fault(name: string, o: { readonly pids?: readonly number[]; readonly overlap?: boolean; readonly from?: number } = {}): () => void {
    const from = o.from ?? now();
    const entry = (until: number | null): Fault => ({
      name,
      from,
      until,
      ...(o.pids === undefined ? {} : { pids: o.pids }),
      ...(o.overlap ? { overlap: true } : {}),
    });
    const open = entry(null);
    this.#faults.set(open, open);
    return () => this.#faults.set(open, entry(now()));
  }

  /** A fault without a duration. */
  faultNow(name: string, o: { readonly pids?: readonly number[]; readonly overlap?: boolean } = {}): void {
    this.fault(name, o)();
  }

  readonly #faults = new Map<Fault, Fault>();

  entries(): readonly JournalEntry[] {
    return readJournal(this.journal.path);
  }

  /** Runs of handlers that have begun, by value. */
  started(): ReadonlyMap<string, number> {
    return this.#count("start");
  }

  ended(): ReadonlyMap<string, number> {
    return this.#count("end");
  }

  /** Messages that wait, run or will: everything but dead letters and remembered keys. */
  async unfinished(): Promise<number> {
    const [row] = await this.database.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${allMessages()} WHERE ${UNFINISHED}`);
    return row?.n ?? 0;
  }

  async drained(timeoutMs: number): Promise<void> {
    await waitFor(async () => (await this.unfinished().catch(() => -1)) === 0, { what: "an empty queue", timeoutMs, intervalMs: 50 });
  }

  async deadLetters(): Promise<
    readonly { id: string; value: string; reason: string; attempts: number; body: unknown; failure: Readonly<Record<string, unknown>> }[]
  > {
    return this.database.query(`
      SELECT id::text, data -> 'payload' ->> 'value' AS value, source_output ->> 'reason' AS reason, (source_output ->> 'attempts')::int AS attempts,
        data AS body, source_output AS failure
      FROM symphony.job WHERE name = 'failed' ORDER BY created_on`);
  }

  async verdict(o: { readonly settleWithinMs?: number } = {}): Promise<Verdict> {
    const dead = await this.deadLetters();
    return check({
      entries: [...this.entries(), ...[...this.#faults.values()].map((fault) => ({ kind: "fault" as const, fault }))],
      settlements: await readSettlements(this.database),
      deadLettered: dead.map(({ value }) => value),
      ...o,
    });
  }

  /** Ends every process, disconnects, and drops the database unless it is to be kept; then what the processes said is kept beside the journal. */
  async close({ keep = false }: { keep?: boolean } = {}): Promise<void> {
    await this.processes.end();
    await this.messenger.close().catch(() => undefined);
    this.journal.close();
    await this.database.close({ keep });
    if (keep) for (const { pid, text } of this.processes.logs()) writeFileSync(join(this.#directory, `process-${pid}.log`), text);
    else rmSync(this.#directory, { recursive: true, force: true });
    await this.#release();
  }

  #count(kind: "start" | "end"): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const entry of this.entries()) if (entry.kind === kind) counts.set(entry.value, (counts.get(entry.value) ?? 0) + 1);
    return counts;
  }
}

/** Reads `/proc`: for Linux. */
function childrenOf(pid: number): readonly number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number));
  } catch {
    return [];
  }
}

/** For tests of what happens, or does not, within a time: a pause that is part of the claim, not a way to wait. */
export const elapse = (ms: number): Promise<void> => pause(ms);
