import {
  type AuditEntry,
  type AuditedResult,
  type CarryHome,
  createJsonSerializer,
  type DeadLetterFilter,
  type DeadLetterGroupFilter,
  type DeadLetterParcel,
  type DiagnosisInput,
  type Envelope,
  type Logger,
  type Receipt,
  type ReceiveOptions,
  type Rejection,
  type Runtime,
  type SendOptions,
  type Serializer,
  silentLogger,
  systemRuntime,
  type TransportFactory,
  type WorkerInfo,
  type WorkerPulse,
} from "@symphony/core";
import { AuditLog } from "./audit-log.ts";
import { Bundles } from "./bundles.ts";
import { Database } from "./connection.ts";
import { Control, Controlled } from "./controlled.ts";
import { Counter } from "./counter.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Doctor } from "./doctor/doctor.ts";
import { acquireEmbedded } from "./embedded.ts";
import { Inspector } from "./inspector.ts";
import type { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { Notifier } from "./notifier.ts";
import { type PgBossOptions, type PgBossOptionsInput, parsePgBossOptions } from "./options.ts";
import type { PgBossTransport } from "./pgboss-transport.ts";
import { QueueMaker } from "./queue-maker.ts";
import { QueueDirectory, type QueueInfo } from "./queues.ts";
import { Reaper } from "./reaper.ts";
import { PgBossReceiver } from "./receiver.ts";
import { RequestLog } from "./request-log.ts";
import { Schedules } from "./schedules.ts";
import { PgBossSender } from "./sender.ts";
import { describeSteps, missingError, SetUp } from "./setup.ts";
import { StoreProbe } from "./store-probe.ts";
import { Transactor } from "./transactor.ts";

export interface PgBossTransportInput extends PgBossOptionsInput {
  /** `postgres://user:password@host/database?schema=symphony`, or `embedded:`. */
  readonly dsn: string;
  /** What the configuration calls it; part of what makes an idempotency key unique. Default "default". */
  readonly name?: string;
  /** Queues to set up, and to receive from where none are named. Default "default". */
  readonly queues?: readonly string[];
  /** Those among them to prepare for partition and deduplication keys. */
  readonly keyedQueues?: readonly string[];
  readonly serializer?: Serializer;
  readonly runtime?: Runtime;
  readonly logger?: Logger;
}

/**
 * A transport on PostgreSQL.
 *
 * Messages are rows of pg-boss's tables, whose own tools work on them; a commit makes them durable. Resolves when the
 * database has been reached and everything that the queues need is there; with `autoSetup` (the default) it is made.
 * Connections: up to `poolSize`, one for beats, one while somebody listens for wake-ups, and up to `poolSize` for
 * transactions of handlers; each is opened when it is first needed.
 *
 * @throws {OptionsError} naming the option.
 * @throws {TransportError} `TRANSPORT_UNAVAILABLE` when the database cannot be reached, `SCHEMA_VERSION_MISMATCH` or
 *   `QUEUE_NOT_FOUND` when something is missing and `autoSetup` is false.
 * @example
 * const transport = await createPgBossTransport({ dsn: "postgres://localhost/app", queues: ["mails"] });
 */
export async function createPgBossTransport(input: PgBossTransportInput): Promise<PgBossTransport> {
  const { dsn, name = "default", queues = ["default"], keyedQueues = [], runtime, logger, ...rest } = input;
  const { serializer = createJsonSerializer(), ...options } = rest;
  const given = { dsn, name, queues, keyedQueues, serializer, options };
  return open({ ...given, runtime: runtime ?? systemRuntime, logger: logger ?? silentLogger });
}

/** What a configuration with a DSN of these schemes gets. */
export const transportFactory: TransportFactory = {
  schemes: ["postgres", "postgresql", "pgboss", "embedded"],
  create: (input) => open(input, pathOf(input.name)),
  check: ({ name, dsn, options }) => void parsePgBossOptions(dsn, options, pathOf(name)),
};

const pathOf = (name: string): string => `config.transports.${name}.options`;

type OpenInput = Parameters<TransportFactory["create"]>[0];

async function open(input: OpenInput, path = ""): Promise<PgBossTransport> {
  const { target, options } = parsePgBossOptions(input.dsn, input.options, path);
  const embedded = target.kind === "embedded" ? await acquireEmbedded(target.directory) : undefined;
  const server = target.kind === "server" ? target : { connectionString: embedded?.connectionString ?? "", startup: "" };
  const { runtime, logger } = input;
  const database = new Database({ ...server, options, runtime, logger });
  const transport = new Opened(input, options, database, embedded?.release);
  try {
    await database.open();
    await transport.prepare();
    return transport;
  } catch (error) {
    await transport.close();
    throw error;
  }
}

class Opened extends Controlled implements PgBossTransport {
  readonly schedules: Schedules;
  readonly requests: RequestLog;
  readonly #options: PgBossOptions;
  readonly #database: Database;
  readonly #release: (() => Promise<void>) | undefined;
  readonly #logger: Logger;
  readonly #runtime: Runtime;
  readonly #names: Set<string>;
  readonly #setUp: SetUp;
  readonly #queues: QueueDirectory;
  readonly #notifier: Notifier;
  readonly #counter: Counter;
  readonly #lanes: Lanes;
  readonly #sender: PgBossSender;
  readonly #receiver: PgBossReceiver;
  protected readonly control: Control;
  readonly #deadLetters: DeadLetters;
  readonly #inspector: Inspector;
  readonly #probe: StoreProbe;
  readonly #reaper: Reaper;
  readonly #transactor: Transactor;
  readonly #audit: AuditLog;
  #closing: Promise<void> | undefined;

  constructor(input: OpenInput, options: PgBossOptions, database: Database, release: (() => Promise<void>) | undefined) {
    super();
    const [{ serializer, runtime, logger }, { schema }] = [input, options];
    [this.#options, this.#database, this.#release, this.#logger, this.#runtime] = [options, database, release, logger, runtime];
    this.#names = new Set(input.queues);
    const keyed = new Set(input.keyedQueues);
    this.#setUp = new SetUp(database, options, runtime, logger, keyed);
    this.#queues = new QueueDirectory(database, runtime, schema, options.deadLetterQueue, input.queues);
    this.#notifier = new Notifier({ database, runtime, logger, schema, enabled: options.notify });
    this.#counter = new Counter(database, runtime, logger, schema);
    const bundles = new Bundles(database, schema);
    this.#lanes = new Lanes({ database, options, serializer, runtime, logger, notifier: this.#notifier, bundles, queues: this.#queues });
    this.#sender = new PgBossSender({
      transport: input.name,
      options,
      serializer,
      runtime,
      store: this.#lanes.store,
      notifier: this.#notifier,
      joined: () => database.joined,
      maker: new QueueMaker({ options, setUp: this.#setUp, queues: this.#queues, names: this.#names, keyed }),
    });
    const laneOf = (queue: QueueInfo): Lane => this.#lanes.of(queue);
    this.control = new Control({ database, queues: this.#queues, laneOf, bundles, notifier: this.#notifier, runtime, logger, schema });
    this.#receiver = new PgBossReceiver({
      queues: this.#queues,
      laneOf,
      pauses: this.control.pauses,
      bundles,
      database,
      schema,
      serializer,
      counter: this.#counter,
      notifier: this.#notifier,
    });
    this.#deadLetters = new DeadLetters({ database, queues: this.#queues, serializer, notifier: this.#notifier, runtime, schema });
    this.#inspector = new Inspector(database, this.#queues, schema);
    this.#probe = new StoreProbe(database, schema);
    const shared = { database, queues: this.#queues, runtime, logger, schema };
    this.#reaper = new Reaper({ ...shared, notifier: this.#notifier, control: this.control });
    this.#audit = new AuditLog({ database, notifier: this.#notifier, runtime, schema });
    this.schedules = new Schedules(database, schema);
    this.requests = new RequestLog({ database, runtime, schema });
    this.#transactor = new Transactor({
      database,
      queues: this.#queues,
      bundles,
      counter: this.#counter,
      notifier: this.#notifier,
      schema,
      timeoutMs: options.statementTimeoutMs,
    });
  }

  /** Connections at most: sending and receiving, transactions of handlers, beats, wake-ups. For the budget shown at start. */
  get maxConnections(): number {
    return 2 * this.#options.poolSize + 2;
  }

  /** Makes, or misses, what is not there. */
  async prepare(): Promise<void> {
    const { autoSetup, schema } = this.#options;
    if (autoSetup === "defer") return;
    if (autoSetup) await this.#setUp.run([...this.#names], { unasked: true });
    else {
      const missing = await this.#setUp.missing([...this.#names]);
      if (missing.some((step) => step.kind !== "care")) throw missingError(schema, missing);
      if (missing.length > 0)
        this.#logger.warn({ missing: missing.map((step) => step.title) }, "run `symphony setup` to improve the queues");
    }
    await this.#queues.refresh();
  }

  send(envelopes: readonly Envelope[], options?: SendOptions) {
    return this.#sender.send(envelopes, options);
  }

  receive(max: number, options: ReceiveOptions) {
    return this.#receiver.receive(max, options);
  }

  acknowledge(receipts: readonly Receipt[]) {
    return this.#receiver.acknowledge(receipts);
  }

  reject(rejections: readonly Rejection[]) {
    return this.#receiver.reject(rejections);
  }

  getQueueDepth() {
    return this.#inspector.depth();
  }

  measureStore() {
    return this.#probe.measure();
  }

  getCounts() {
    return this.#inspector.counts();
  }

  listDeadLetters(filter: DeadLetterFilter, page: { limit: number; offset?: number; cursor?: string }) {
    return this.#deadLetters.list(filter, page);
  }

  redriveDeadLetters(filter: DeadLetterFilter, limit: number) {
    return this.#deadLetters.redrive(filter, limit);
  }

  removeDeadLetters(filter: DeadLetterFilter, limit: number) {
    return this.#deadLetters.remove(filter, limit);
  }

  exportDeadLetters(limit: number) {
    return this.#deadLetters.forwarding.exportDeadLetters(limit);
  }

  importDeadLetters(parcels: readonly DeadLetterParcel[], from?: string) {
    return this.#deadLetters.forwarding.importDeadLetters(parcels, from);
  }

  forgetDeadLetters(letters: readonly Pick<DeadLetterParcel, "id" | "failedAt">[]) {
    return this.#deadLetters.forwarding.forgetDeadLetters(letters);
  }

  sendHomeBy(carry: CarryHome) {
    this.#deadLetters.forwarding.sendHomeBy(carry);
  }

  get redrives() {
    return this.#deadLetters.redrives;
  }

  groupDeadLetters(filter: DeadLetterGroupFilter, limit: number) {
    return this.#deadLetters.groups.read(filter, limit);
  }

  onWake(listener: (queues: readonly string[]) => void) {
    return this.control.wakeUp.onWake((queues) => {
      this.#lanes.woken(queues);
      listener(queues);
    });
  }

  async setUp(options: { dryRun?: boolean } = {}): Promise<readonly string[]> {
    const names = [...this.#names];
    const steps = options.dryRun === true ? await this.#setUp.missing(names) : await this.#setUp.run(names);
    if (options.dryRun !== true && steps.length > 0) await this.#queues.refresh();
    return describeSteps(steps);
  }

  async checkSetUp(): Promise<readonly string[]> {
    return (await this.#setUp.missing([...this.#names])).map((step) => step.title);
  }

  transaction<T>(receipt: Receipt, work: (client: unknown) => Promise<T>): Promise<T> {
    return this.#transactor.transaction(receipt, work);
  }

  audited<T>(entry: AuditEntry, work: () => Promise<AuditedResult<T>>) {
    return this.#audit.audited(entry, work);
  }

  recordRefusal(entry: AuditEntry, outcome: string) {
    return this.#audit.recordRefusal(entry, outcome);
  }

  listAudit(page: { limit: number; cursor?: string; id?: string }) {
    return this.#audit.list(page);
  }

  undoAudited(id: string, entry: AuditEntry) {
    return this.#audit.undo(id, entry);
  }

  tidyAudit() {
    return this.#audit.tidy();
  }

  diagnose(input?: DiagnosisInput) {
    const doctor = new Doctor({
      database: this.#database,
      options: this.#options,
      runtime: this.#runtime,
      queues: this.#queues,
      missing: () => this.#setUp.missing([...this.#names]),
      counts: () => this.#inspector.counts(),
      workers: () => this.#reaper.list(),
    });
    return doctor.diagnose(input);
  }

  beat(worker: WorkerInfo, inFlight: number) {
    return this.#reaper.beat(worker, inFlight);
  }

  reap(olderThanMs: number) {
    return this.#reaper.reap(olderThanMs);
  }

  retire(workerId: string) {
    return this.#reaper.retire(workerId, "interrupted");
  }

  retireAsSuspects(workerId: string) {
    return this.#reaper.retire(workerId, "suspected");
  }

  listWorkers() {
    return this.#reaper.list();
  }

  pulse(workers: readonly WorkerPulse[]) {
    return this.#reaper.pulse(workers);
  }

  requestStop() {
    return this.#reaper.requestStop();
  }

  adopt(receipts: readonly Receipt[], workerId: string) {
    return this.#receiver.adopt(receipts, workerId);
  }

  hasReady(queues?: readonly string[]) {
    return this.#receiver.hasReady(queues);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#sender.close();
    await Promise.all([this.#notifier.close(), this.#counter.close(), this.control.wakeUp.close()]);
    await this.#lanes.close();
    await this.#database.close();
    await this.#release?.();
  }
}
