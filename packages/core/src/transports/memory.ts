import { type Runtime, systemRuntime } from "../clock.ts";
import type { DeadLetterGroupFilter, DeadLetterGroups, Groupable } from "../dead-letter-groups.ts";
import { type Envelope, isSendable, type Stamp } from "../envelope.ts";
import { MessengerError, OptionsError, TransportError } from "../errors.ts";
import { DEFAULT_PRIORITY, DEFAULT_QUEUE } from "../message.ts";
import { anything, integer, listOf, object, optional, parseOptions, string } from "../options.ts";
import { createJsonSerializer, type Serializer } from "../serializer.ts";
import { deduplicate, delay, idempotencyKey, messageId, partitionKey, priority, queueName, scheduled } from "../stamps.ts";
import type {
  Closeable,
  Countable,
  DeadLetterFilter,
  DeadLetterPage,
  Failure,
  Listable,
  QueueCounts,
  Receipt,
  Received,
  ReceiveOptions,
  Rejection,
  SendOptions,
  SendResult,
  Settled,
  Transport,
  Wakeable,
} from "../transport.ts";
import type { TransportFactory } from "../transport-factory.ts";
import { decode, toDeadLetter, toReceived } from "./memory/decode.ts";
import { MemoryForwarding } from "./memory/forwarding.ts";
import { Newest } from "./memory/newest.ts";
import { applyPatch, digest } from "./memory/record.ts";
import { MemoryStore } from "./memory/store.ts";
import type { StoredMessage } from "./memory/stored-message.ts";

export interface MemoryTransportOptions {
  /** Transports of one name share their messages, within the process and until the last one is closed. Default: a store of its own. */
  readonly name?: string;
  /** The queues there are; a message for another one is refused. Default: a queue is made by its first message. */
  readonly queues?: readonly string[];
  readonly serializer?: Serializer;
  /** Clock and ids; a manual clock moves delays, leases and the window of idempotency keys. */
  readonly runtime?: Runtime;
  /** Milliseconds for which an idempotency key is known after its message was handled. Default 86400000: a day. */
  readonly idempotencyWindowMs?: number;
  /** How many messages `getSent`, `getAcknowledged` and `getRejected` remember each; the newest stay. Default 10000. */
  readonly recordLimit?: number;
}

/** A rejection as a test may want to see it. */
export interface RejectedMessage {
  readonly body: string;
  /** Absent when the record could not be decoded. */
  readonly envelope?: Envelope;
  readonly rejection: Rejection;
}

const numbersSchema = {
  idempotencyWindowMs: integer({ min: 0, default: 86_400_000 }),
  recordLimit: integer({ min: 0, default: 10_000 }),
};

const optionsSchema = object({
  name: optional(string()),
  queues: optional(listOf(string())),
  serializer: optional(anything<Serializer>()),
  runtime: optional(anything<Runtime>()),
  ...numbersSchema,
});

const stores = new Map<string, { readonly store: MemoryStore; users: number }>();

/**
 * A transport in this process's memory, for tests and for messages that may die with the process.
 *
 * Complete: it passes the contract suite. Records go through the serializer, so that a payload which JSON would change
 * is refused here as it is elsewhere. Cannot join a database transaction: `send` with `transaction` is refused.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the option.
 */
export function createMemoryTransport(options: MemoryTransportOptions = {}): MemoryTransport {
  return new MemoryTransport(options);
}

export class MemoryTransport extends MemoryForwarding implements Transport, Countable, Listable, Groupable, Wakeable, Closeable {
  readonly #name: string | undefined;
  readonly #runtime: Runtime;
  readonly #sent: Newest<{ readonly body: string; readonly local: readonly Stamp[] }>;
  readonly #acknowledged: Newest<string>;
  readonly #rejected: Newest<{ readonly body: string; readonly rejection: Rejection }>;
  readonly #stops = new Set<() => void>();
  #closed = false;

  constructor(options: MemoryTransportOptions = {}) {
    const parsed = parseOptions(optionsSchema, options, "memory transport");
    const runtime = parsed.runtime ?? systemRuntime;
    super(openStore(parsed.name, runtime, parsed.idempotencyWindowMs), parsed.serializer ?? createJsonSerializer());
    this.#runtime = runtime;
    this.#sent = new Newest(parsed.recordLimit);
    this.#acknowledged = new Newest(parsed.recordLimit);
    this.#rejected = new Newest(parsed.recordLimit);
    this.#name = parsed.name;
    if (parsed.queues !== undefined) this.store.declare(parsed.queues);
  }

  async send(envelopes: readonly Envelope[], options: SendOptions = {}): Promise<readonly SendResult[]> {
    this.assertOpen();
    if (options.transaction !== undefined) {
      const error = new TransportError("CAPABILITY_MISSING", "the memory transport cannot join a transaction");
      return envelopes.map(() => ({ kind: "refused", error }));
    }
    const woken = new Set<string>();
    const results = envelopes.map((envelope) => this.#sendOne(envelope, woken));
    this.store.wake(woken);
    return results;
  }

  async receive(max: number, options: ReceiveOptions): Promise<readonly Received[]> {
    this.assertOpen();
    if (!Number.isSafeInteger(max) || max < 0 || max > 10_000) throw new OptionsError("max", max, "must be an integer from 0 to 10000");
    if (options.acknowledge !== undefined && options.acknowledge.length > 0) {
      const settled = this.#acknowledge(options.acknowledge);
      options.onSettled?.(settled);
    }
    const received: Received[] = [];
    // Whoever was reaped has lost its leases and has to register anew: what it takes now would be taken back as well.
    if (this.store.workers.isReaped(options.workerId)) return received;
    let bytes = 0;
    const fits = (message: StoredMessage): boolean => {
      if (options.maxBytes === undefined) return true;
      bytes += Buffer.byteLength(message.body);
      return received.length === 0 || bytes <= options.maxBytes;
    };
    while (received.length < max) {
      const message = this.store.lease(options.workerId, options.queues, fits);
      if (message === undefined) break;
      received.push(toReceived(this.serializer, message));
    }
    return received;
  }

  async acknowledge(receipts: readonly Receipt[]): Promise<readonly Settled[]> {
    this.assertOpen();
    return this.#acknowledge(receipts);
  }

  async reject(rejections: readonly Rejection[]): Promise<readonly Settled[]> {
    this.assertOpen();
    const woken = new Set<string>();
    const settled = rejections.map((rejection): Settled => {
      const message = this.store.leased(rejection.receipt);
      if (message === undefined) return { receipt: rejection.receipt, status: "lease_lost" };
      message.body = applyPatch(message.body, rejection.patch);
      this.#rejected.add({ body: message.body, rejection });
      if ("deadLetter" in rejection) this.#bury(message, rejection.deadLetter);
      else this.store.giveBack(message, "retryInMs" in rejection ? rejection.retryInMs : 0);
      if (!("deadLetter" in rejection) && this.store.isDue(message)) woken.add(message.queue);
      return { receipt: rejection.receipt, status: "settled" };
    });
    this.store.wake(woken);
    return settled;
  }

  async getQueueDepth(): Promise<number> {
    this.assertOpen();
    return this.store.depth();
  }

  async getCounts(): Promise<readonly QueueCounts[]> {
    this.assertOpen();
    return this.store.counts();
  }

  async listDeadLetters(filter: DeadLetterFilter, page: { limit: number; offset?: number; cursor?: string }): Promise<DeadLetterPage> {
    this.assertOpen();
    const found = this.store.deadLetters.find(filter).reverse();
    const before = page.cursor === undefined ? Number.POSITIVE_INFINITY : Number.parseInt(page.cursor, 10);
    if (Number.isNaN(before)) throw new OptionsError("cursor", page.cursor, "must be the nextCursor of a page");
    const rest = found.filter((letter) => letter.place < before).slice(page.offset ?? 0);
    const listed = rest.slice(0, page.limit);
    return {
      deadLetters: listed.map((letter) => toDeadLetter(this.serializer, letter)),
      total: found.length,
      accuracy: "exact",
      nextCursor: rest.length > listed.length ? String(listed.at(-1)?.place ?? before) : null,
    };
  }

  async redriveDeadLetters(
    filter: DeadLetterFilter,
    limit: number,
  ): Promise<{ redriven: readonly string[]; conflicts: readonly string[] }> {
    this.assertOpen();
    const letters = this.store.deadLetters.find(filter).slice(0, limit);
    return this.store.redrives.sendBack(letters);
  }

  async removeDeadLetters(filter: DeadLetterFilter, limit: number): Promise<{ removed: readonly string[] }> {
    this.assertOpen();
    const letters = this.store.deadLetters.find(filter).slice(0, limit);
    for (const letter of letters) this.store.discard(letter);
    return { removed: letters.map((letter) => letter.message.id) };
  }

  async groupDeadLetters(filter: DeadLetterGroupFilter, limit: number): Promise<DeadLetterGroups> {
    this.assertOpen();
    return this.store.deadLetters.group(filter, limit);
  }

  async onWake(listener: (queues: readonly string[]) => void): Promise<() => Promise<void>> {
    this.assertOpen();
    // A function of our own: the same listener may be given twice.
    const stop = this.store.listen((queues) => listener(queues));
    this.#stops.add(stop);
    return async () => {
      this.#stops.delete(stop);
      stop();
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#stops.clear();
    const shared = this.#name === undefined ? undefined : stores.get(this.#name);
    if (shared === undefined || this.#name === undefined) return;
    shared.users -= 1;
    if (shared.users === 0) stores.delete(this.#name);
  }

  /** What was accepted through this transport, oldest first: as it was read back, with the stamps that do not travel. */
  getSent(): readonly Envelope[] {
    return this.#sent.all().map(({ body, local }) => this.serializer.decode(body).with(...local));
  }

  /** What was acknowledged through this transport, oldest first. */
  getAcknowledged(): readonly Envelope[] {
    return this.#acknowledged.all().map((body) => this.serializer.decode(body));
  }

  /** What was retried, released or dead-lettered through this transport, oldest first, with the record after the patch. */
  getRejected(): readonly RejectedMessage[] {
    return this.#rejected.all().map(({ body, rejection }) => {
      const { envelope } = decode(this.serializer, body);
      return { body, rejection, ...(envelope === undefined ? {} : { envelope }) };
    });
  }

  /** Forgets everything: messages, dead letters, idempotency keys, workers, and what was remembered. Queues stay. */
  reset(): void {
    this.store.clear();
    this.#sent.clear();
    this.#acknowledged.clear();
    this.#rejected.clear();
  }

  #sendOne(envelope: Envelope, woken: Set<string>): SendResult {
    let body: string;
    let key: string | undefined;
    let keyDigest: string | undefined;
    try {
      body = this.serializer.encode(envelope);
      key = envelope.last(idempotencyKey)?.key;
      keyDigest = key === undefined ? undefined : digest(envelope.message);
    } catch (cause) {
      const refused =
        cause instanceof MessengerError ? cause : new MessengerError("PAYLOAD_NOT_JSON", "the payload cannot be read", { cause });
      return { kind: "refused", error: refused };
    }
    const queue = envelope.last(queueName)?.queue ?? DEFAULT_QUEUE;
    const now = this.#runtime.clock.now();
    const message = {
      id: envelope.last(messageId)?.id ?? this.#runtime.newId(),
      queue,
      type: envelope.message.type,
      priority: envelope.last(priority)?.priority ?? DEFAULT_PRIORITY,
      key,
      partition: envelope.last(partitionKey)?.key,
      deduplicate: envelope.last(deduplicate)?.key,
      body,
      readyAt: Math.max(now, now + (envelope.last(delay)?.delayMs ?? 0), envelope.last(scheduled)?.at ?? 0),
    };
    const added = this.store.add(message, keyDigest);
    if (added.kind === "no_queue") {
      return { kind: "refused", error: new TransportError("QUEUE_NOT_FOUND", `there is no queue "${queue}"`, { details: { queue } }) };
    }
    if (added.kind === "conflict") {
      const text = `the idempotency key "${key}" is in use for another message of queue "${queue}"`;
      return { kind: "refused", error: new MessengerError("IDEMPOTENCY_CONFLICT", text, { details: { queue, key } }) };
    }
    if (added.kind === "accepted") {
      this.#sent.add({ body, local: envelope.stamps.filter((stamp) => !isSendable(stamp.name)) });
      if (this.store.isDue(message)) woken.add(queue);
    }
    return { kind: added.kind, id: added.id, queue };
  }

  #acknowledge(receipts: readonly Receipt[]): Settled[] {
    return receipts.map((receipt) => {
      const message = this.store.leased(receipt);
      if (message === undefined) return { receipt, status: "lease_lost" };
      this.store.finish(message);
      this.#acknowledged.add(message.body);
      return { receipt, status: "settled" };
    });
  }

  #bury(message: StoredMessage, failure: Failure): void {
    const { envelope } = decode(this.serializer, message.body);
    this.store.bury(message, { failure: structuredClone(failure), type: envelope?.message.type ?? null });
  }

  protected override newId(): string {
    return this.#runtime.newId();
  }

  protected override assertOpen(): void {
    if (this.#closed) throw new TransportError("TRANSPORT_UNAVAILABLE", "the memory transport is closed");
  }
}

function openStore(name: string | undefined, runtime: Runtime, windowMs: number): MemoryStore {
  if (name === undefined) return new MemoryStore(runtime.clock, windowMs);
  const shared = stores.get(name) ?? { store: new MemoryStore(runtime.clock, windowMs), users: 0 };
  shared.users += 1;
  stores.set(name, shared);
  return shared.store;
}

const dsnSchema = object(numbersSchema);

/** `memory:` is a store of its own, `memory://orders` one that all transports of this name share. Options: `idempotencyWindowMs`, `recordLimit`. */
export const memoryTransportFactory: TransportFactory = {
  schemes: ["memory", "in-memory"],
  async create({ name, dsn, options, serializer, runtime, queues }) {
    const { parsed, storeName } = parseDsn(name, dsn, options);
    const shared = storeName === "" ? {} : { name: decodeURIComponent(storeName) };
    return createMemoryTransport({ ...parsed, ...shared, serializer, runtime, ...(queues.length === 0 ? {} : { queues }) });
  },
  check: ({ name, dsn, options }) => void parseDsn(name, dsn, options),
};

function parseDsn(name: string, dsn: string, options: Readonly<Record<string, unknown>>) {
  const [, storeName = "", query = ""] = /^[^:]+:(?:\/\/)?([^?]*)(?:\?(.*))?$/.exec(dsn) ?? [];
  const given = { ...Object.fromEntries(new URLSearchParams(query)), ...options };
  return { parsed: parseOptions(dsnSchema, given, `config.transports.${name}.options`), storeName };
}
