import {
  createJsonSerializer,
  Envelope,
  findFactory,
  isCloseable,
  isTransactional,
  type Logger,
  MessengerError,
  type ParsedConfig,
  type Receipt,
  type Runtime,
  type SendOptions,
  type SendResult,
  type Serializer,
  type Transactional,
  type Transport,
  TransportError,
} from "@symphony/core";
import { fromPlainError } from "./plain-error.ts";
import type { PlainEnvelope, PlainSendResult, RelaySpec, SendAnswer, SendRequest } from "./thread-protocol.ts";

/** Connections of a thread's own transport: one handler's transaction, and what that handler sends through it. */
const THREAD_POOL_SIZE = 2;

export interface RelayInput {
  readonly config: ParsedConfig;
  readonly post: (request: SendRequest) => void;
  readonly logger: Logger;
  readonly runtime: Runtime;
}

/**
 * The transports of a thread. Sending goes through the main thread, which has the connections; a transaction needs one
 * in the thread, opened with the first transactional handler that runs there.
 */
export class ThreadRelays {
  readonly transports: Readonly<Record<string, Transport>>;
  readonly #input: RelayInput;
  /** By id, which is used again after its answer. A map would keep what it has forgotten: see `Roster` in core. */
  readonly #waiting: (PromiseWithResolvers<readonly SendResult[]> | undefined)[] = [];
  readonly #freeIds: number[] = [];
  readonly #own = new Map<string, Promise<Transport & Transactional>>();

  constructor(specs: readonly RelaySpec[], input: RelayInput) {
    this.#input = input;
    this.transports = Object.fromEntries(specs.map((spec) => [spec.name, this.#relay(spec)]));
  }

  /** What the main thread says about earlier requests. */
  answer(answers: readonly SendAnswer[]): void {
    for (const answer of answers) {
      const waiting = this.#take(answer.id);
      if ("error" in answer) waiting?.reject(fromPlainError(answer.error));
      else waiting?.resolve(answer.results.map(fromPlainResult));
    }
  }

  /** A request holds something that cannot be copied to the main thread: the serializer says what and where. */
  refuse(request: SendRequest): void {
    const serializer = this.#serializer(request.transport);
    this.#take(request.id)?.resolve(request.envelopes.map((plain) => ({ kind: "refused", error: findFault(serializer, plain) })));
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#own.values());
    await Promise.allSettled(opened.map((one) => (one.status === "fulfilled" && isCloseable(one.value) ? one.value.close() : undefined)));
  }

  #relay({ name, transactional }: RelaySpec): Transport & Partial<Transactional> {
    const refuse = async (): Promise<never> => {
      throw new TransportError("CAPABILITY_MISSING", `a pool thread cannot consume transport "${name}": ask for it in the worker process`);
    };
    const open = (dsn: string): Promise<Transport & Transactional> => this.#open(name, dsn);
    const turns = new Turns(THREAD_POOL_SIZE);
    return {
      send: async (envelopes, options) => {
        if (options?.transaction === undefined) return this.#send(name, envelopes);
        if (transactional === undefined) return refuse();
        return (await open(transactional.dsn)).send(envelopes, options satisfies SendOptions);
      },
      receive: refuse,
      acknowledge: refuse,
      reject: refuse,
      getQueueDepth: refuse,
      ...(transactional === undefined
        ? {}
        : {
            transaction: <T>(receipt: Receipt, work: (client: unknown) => Promise<T>): Promise<T> =>
              turns.take(async () => (await open(transactional.dsn)).transaction(receipt, work)),
          }),
    };
  }

  #send(transport: string, envelopes: readonly Envelope[]): Promise<readonly SendResult[]> {
    const id = this.#freeIds.pop() ?? this.#waiting.length;
    const waiting = Promise.withResolvers<readonly SendResult[]>();
    this.#waiting[id] = waiting;
    this.#input.post({ id, transport, envelopes: envelopes.map(({ message, stamps }) => ({ message, stamps })) });
    return waiting.promise;
  }

  #take(id: number): PromiseWithResolvers<readonly SendResult[]> | undefined {
    const waiting = this.#waiting[id];
    if (waiting === undefined) return undefined;
    this.#waiting[id] = undefined;
    this.#freeIds.push(id);
    return waiting;
  }

  #open(name: string, dsn: string): Promise<Transport & Transactional> {
    let own = this.#own.get(name);
    if (own === undefined) {
      own = this.#connect(name, dsn);
      this.#own.set(name, own);
      // The next transactional handler tries again.
      own.catch(() => this.#own.delete(name));
    }
    return own;
  }

  async #connect(name: string, dsn: string): Promise<Transport & Transactional> {
    const { config, logger, runtime } = this.#input;
    const factory = await findFactory(name, dsn, []);
    const options = { ...config.transports[name]?.options, poolSize: THREAD_POOL_SIZE, autoSetup: false };
    const transport = await factory.create({ name, dsn, options, serializer: this.#serializer(name), runtime, logger, queues: [] });
    if (isTransactional(transport)) return transport;
    throw new MessengerError("CAPABILITY_MISSING", `transport "${name}" has no transactions in a pool thread`);
  }

  #serializer(name: string): Serializer {
    return this.#input.config.transports[name]?.serializer ?? createJsonSerializer();
  }
}

function fromPlainResult(result: PlainSendResult): SendResult {
  return result.kind === "refused" ? { kind: "refused", error: fromPlainError(result.error) } : result;
}

function findFault(serializer: Serializer, { message, stamps }: PlainEnvelope): MessengerError {
  try {
    serializer.encode(Envelope.wrap(message, stamps));
  } catch (error) {
    if (error instanceof MessengerError) return error;
  }
  return new MessengerError(
    "PAYLOAD_NOT_JSON",
    `message "${message.type}" or one of its stamps holds a value that cannot be copied to another thread`,
  );
}

/** Lets so many in at a time: a connection that is waited for too long would count as a failed attempt. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(free: number) {
    this.#free = free;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
