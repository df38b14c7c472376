import { threadId } from "node:worker_threads";
import {
  createInProcessExecutor,
  createMessenger,
  flushTelemetry,
  type MessengerConfig,
  OptionsError,
  parseConfig,
  systemRuntime,
  type Timer,
  toErrorRecord,
} from "@symphony/core";
import { watchForDeath } from "./death-watch.ts";
import { collectAll } from "./idle-tidy.ts";
import { SlotBoard } from "./slot-board.ts";
import { ThreadLog } from "./thread-logger.ts";
import { ThreadLoop, type ThreadReceived, watch } from "./thread-loop.ts";
import { ThreadOutbox } from "./thread-outbox.ts";
import type { ThreadStart, ToThread } from "./thread-protocol.ts";
import { ThreadRelays } from "./thread-relay.ts";
import { hideV8Flags } from "./v8-flags.ts";

/** Milliseconds between two reports of what was counted here. */
const COUNT_EVERY_MS = 1_000;
/** Milliseconds for spans that are still here at the end. */
const LAST_WORDS_MS = 300;

/**
 * Runs in a pool thread: loads the configuration and executes what comes through the port, until it is stopped.
 * This is the one long task of its piscina worker.
 *
 * @throws whatever the configuration module throws.
 */
export async function serve(start: ThreadStart): Promise<void> {
  const { port } = start;
  hideV8Flags();
  const outbox: ThreadOutbox = new ThreadOutbox(port, (request) => thread?.relays.refuse(request));
  let thread: Awaited<ReturnType<typeof boot>> | undefined;
  const death = watchForDeath(outbox, (received) => thread?.loop.isRunning(received) ?? false);
  try {
    thread = await boot(start, outbox);
  } catch (error) {
    return death.die(error);
  }
  const { board, loop, relays, log, meter } = thread;
  const stopped = Promise.withResolvers<{ exit: boolean }>();
  port.on("message", (message: ToThread) => {
    if (message.kind === "run") loop.run(message.packed);
    else if (message.kind === "sent") relays.answer(message.answers);
    else if (message.kind === "ping") board.answer(message.ping);
    else if (message.kind === "logged") log.written(message.count);
    else if (message.kind === "abort") loop.abort(message.group, message.reason);
    else if (message.kind === "tidy") collectAll();
    else if (message.kind === "cancel") loop.cancel(message.slot);
    else stopped.resolve(message);
  });
  outbox.ready(threadId);
  const counting = countEvery(() => outbox.counted(meter.drain()));
  const { exit } = await stopped.promise;
  outbox.flush();
  counting.cancel();
  outbox.counted(meter.drain());
  await Promise.all([relays.close(), flushTelemetry(LAST_WORDS_MS)]);
  death.forget();
  port.close();
  if (exit) process.exit(0);
}

async function boot(start: ThreadStart, outbox: ThreadOutbox) {
  const config = await loadConfig(start.configUrl);
  const log = new ThreadLog(start.logLevel, (record) => outbox.log(record));
  const { logger } = log;
  const board = new SlotBoard(start.board);
  const relays = new ThreadRelays(start.relays, {
    config: parseConfig(config),
    post: (request) => outbox.send(request),
    logger,
    runtime: systemRuntime,
  });
  const watched = {
    ...config,
    handlers: (config.handlers ?? []).map((handler) => watch(handler, board)),
    worker: { ...config.worker, ...start.handling },
  };
  const messenger = await createMessenger(watched, { transports: relays.transports, logger });
  const executor = createInProcessExecutor({
    messenger,
    transport: start.transport,
    size: Number.MAX_SAFE_INTEGER,
    logger,
    // The main thread ends this one when a handler does not come back: nothing is given up here while its code runs on.
    graceMs: Number.POSITIVE_INFINITY,
    onResetFailed: (error) => {
      loop.retire();
      // What waits for the reset says so first, in this turn.
      setImmediate(() => outbox.unfit(toErrorRecord(error)));
    },
    onArm: (received, timeoutMs) => board.beat((received as ThreadReceived).slot, timeoutMs),
  });
  const loop: ThreadLoop = new ThreadLoop({ board, outbox, executor, serializer: messenger.serializer(start.transport) });
  return { board, loop, relays, log, meter: messenger.meter };
}

function countEvery(report: () => void): Timer {
  const again = (): Timer =>
    systemRuntime.clock.schedule(
      COUNT_EVERY_MS,
      () => {
        report();
        timer = again();
      },
      { unref: true },
    );
  let timer = again();
  return { cancel: () => timer.cancel() };
}

async function loadConfig(url: string): Promise<MessengerConfig> {
  const module = (await import(url)) as { default?: MessengerConfig };
  if (typeof module.default !== "object" || module.default === null) {
    throw new OptionsError("the configuration module", module.default, "must have the configuration as its default export");
  }
  return module.default;
}
