import { BroadcastChannel } from "node:worker_threads";
import {
  type AnyMessageType,
  createJsonSerializer,
  createMessenger,
  type Messenger,
  type MessengerConfig,
  type Outcome,
  type Received,
  type Stamp,
  stamps,
  systemRuntime,
} from "@symphony/core";
import { createRecordingLogger, createSignals, type RecordingLogger, type Signals, testEnvelope, waitFor } from "@symphony/core/testing";
import { createThreadPoolExecutor, type ThreadPool, type ThreadPoolOptions } from "../thread-pool.ts";
import threads from "./threads.config.ts";

export const CONFIG_URL = new URL("./threads.config.ts", import.meta.url).href;

export interface Said {
  readonly what: string;
  readonly messageId: string;
  readonly threadId: number;
  readonly isMainThread: boolean;
  readonly bytes?: number;
}

export interface PoolKit extends AsyncDisposable {
  readonly pool: ThreadPool;
  readonly messenger: Messenger;
  readonly logger: RecordingLogger;
  /** What handlers say, by what they say. */
  readonly said: Signals<Record<string, Said>>;
  readonly late: { messageId: string; error: { message: string } }[];
  run(
    type: AnyMessageType,
    payload?: unknown,
    signal?: AbortSignal,
  ): Promise<Outcome> & { readonly id: string; readonly received: Received };
  again(id: string, type: AnyMessageType, payload?: unknown): Promise<Outcome>;
  /** Lets every handler of `Held` return. */
  open(): void;
}

interface PoolKitOptions extends Partial<ThreadPoolOptions> {
  /** What is at `configPath`. */
  readonly config?: MessengerConfig;
}

/** A pool over the handlers of `threads.config.ts`, if nothing else is given; every thread is ready. */
export async function createPoolKit({ config = threads, ...options }: PoolKitOptions = {}): Promise<PoolKit> {
  const logger = createRecordingLogger();
  const messenger = await createMessenger(config, { logger });
  const late: { messageId: string; error: { message: string } }[] = [];
  const pool = createThreadPoolExecutor({
    configPath: CONFIG_URL,
    messenger,
    transport: "default",
    threads: 1,
    concurrency: 4,
    logger,
    onLateError: (one) => late.push(one),
    ...options,
  });
  await pool.ready();
  await waitFor(() => pool.getThreads().ready === pool.getThreads().wanted, { what: "every thread" });
  const said = createSignals<Record<string, Said>>();
  const channel = new BroadcastChannel("worker-runner-tests");
  channel.onmessage = (event) => {
    const heard = (event as { data: Said }).data;
    said.emit(heard.what, heard);
  };
  const gate = new BroadcastChannel("worker-runner-gate");
  const never = new AbortController().signal;
  const run: PoolKit["run"] = (type, payload = {}, signal = never) => {
    const received = receivedOf(type, payload);
    return Object.assign(pool.execute(received, signal), { id: received.receipt.id, received });
  };
  return {
    pool,
    messenger,
    logger,
    said,
    late,
    run,
    again: (id, type, payload = {}) => pool.execute(receivedOf(type, payload, id), never),
    open: () => gate.postMessage("open"),
    async [Symbol.asyncDispose]() {
      await pool.close();
      channel.close();
      gate.close();
      await messenger.close();
    },
  };
}

const serializer = createJsonSerializer();

export function receivedOf(type: AnyMessageType, payload: unknown, id = systemRuntime.newId(), more: readonly Stamp[] = []): Received {
  const envelope = testEnvelope(type.name, payload, [stamps.messageId({ id }), ...more]);
  return { receipt: { id, queue: type.queue, fence: 1 }, queue: type.queue, priority: 5, body: serializer.encode(envelope), envelope };
}
