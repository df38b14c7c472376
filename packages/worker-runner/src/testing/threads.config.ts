import { spawnSync } from "node:child_process";
import { BroadcastChannel, isMainThread, threadId } from "node:worker_threads";
import { defineBatchHandler, defineConfig, defineHandler, type HandlerContext, systemClock } from "@symphony/core";
import * as m from "./messages.ts";

/** Handlers that do to their thread what the tests are about. They say where they are over a broadcast channel. */

const channel = new BroadcastChannel("worker-runner-tests");
channel.unref();
const say = (what: string, context: HandlerContext, bytes?: number): void =>
  channel.postMessage({ what, messageId: context.messageId, threadId, isMainThread, bytes });

const pause = (ms: number): Promise<void> => new Promise((resolve) => systemClock.schedule(ms, resolve));

function spin(ms: number): void {
  for (const until = systemClock.monotonic() + ms; systemClock.monotonic() < until; );
}

function grow(): void {
  const kept: unknown[] = [];
  for (;;) kept.push({ size: kept.length, text: `kept ${kept.length}` });
}

/** Until a test says so, or the signal. */
function held(context: HandlerContext): Promise<void> {
  const gate = new BroadcastChannel("worker-runner-gate");
  return new Promise<void>((resolve, reject) => {
    gate.onmessage = () => resolve();
    context.signal.addEventListener("abort", () => reject(context.signal.reason));
    say("held", context);
  }).finally(() => gate.close());
}

const ODD: Readonly<Record<string, () => unknown>> = {
  null: () => null,
  undefined: () => undefined,
  string: () => "just text",
  frozen: () => Object.freeze(new Error("cold")),
  huge: () => new Error("x".repeat(10_000_000)),
  circular: () => {
    const error: Error & { self?: unknown } = new Error("round");
    error.self = error;
    error.cause = error;
    return error;
  },
  getter: () => ({
    get message() {
      throw new Error("no");
    },
  }),
};

const RESULTS: Readonly<Record<string, () => unknown>> = {
  bigint: () => 1n,
  symbol: () => Symbol("odd"),
  large: () => "x".repeat(50_000_000),
  function: () => () => 1,
};

const handlers = [
  defineHandler(m.Noop, () => undefined),
  defineHandler(m.Spin, (_payload, context) => {
    say("spinning", context);
    for (;;);
  }),
  defineHandler(m.SpinLater, async (_payload, context) => {
    await pause(20);
    say("spinning", context);
    for (;;);
  }),
  defineHandler(m.Native, (payload) => {
    // Nothing interrupts a thread in a call like this.
    spawnSync("sleep", [`${(payload as { seconds: number }).seconds}`]);
  }),
  defineHandler(m.Busy, (payload, context) => {
    spin((payload as { ms: number }).ms);
    say("busy", context);
  }),
  defineHandler(m.Never, (_payload, context) => {
    say("never", context);
    return new Promise(() => undefined);
  }),
  defineHandler(m.Patient, async (_payload, context) => {
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    say("aborted", context);
    throw context.signal.reason;
  }),
  defineHandler(m.Beating, async (_payload, context) => {
    for (let i = 0; i < 6; i++) {
      await pause(m.SHORT_TIMEOUT_MS / 2);
      context.heartbeat();
    }
  }),
  defineHandler(m.Held, (_payload, context) => held(context)),
  defineHandler(m.Exit, async (payload, context) => {
    const { code, afterMs, afterMicrotasks = 0 } = payload as { code: number; afterMs?: number; afterMicrotasks?: number };
    if (afterMs !== undefined) await pause(afterMs);
    for (let i = 0; i < afterMicrotasks; i++) await undefined;
    say("exiting", context);
    process.exit(code);
  }),
  defineHandler(m.Grow, grow),
  defineHandler(m.GrowLater, async () => {
    await pause(20);
    grow();
  }),
  defineHandler(m.ThrowLate, async (_payload, context) => {
    systemClock.schedule(20, () => {
      throw new Error("thrown later");
    });
    await held(context);
  }),
  defineHandler(m.RejectLate, async (_payload, context) => {
    void Promise.reject(new Error("dropped"));
    await held(context);
  }),
  defineHandler(m.AfterTheEnd, () => {
    systemClock.schedule(30, () => {
      throw new Error("thrown after the end");
    });
  }),
  defineHandler(m.OddThrow, (payload) => {
    throw ODD[(payload as { what: string }).what]?.();
  }),
  defineHandler(m.OddResult, (payload) => RESULTS[(payload as { what: string }).what]?.()),
  defineHandler(m.Parent, async (payload, context) => {
    const { count, bad } = payload as { count: number; bad?: boolean };
    await Promise.all(
      Array.from({ length: count }, (_, i) => context.dispatch(m.Child, { i }, { priority: 7, headers: { from: context.messageId } })),
    );
    if (bad === true) await context.dispatch(m.Child, { run: () => 1 });
  }),
  defineHandler(m.Child, () => undefined),
  defineHandler(m.Chatty, (payload, context) => {
    const { lines } = payload as { lines: number };
    for (let i = 0; i < lines; i++) context.logger.info({ line: i, big: 10n, err: new TypeError("wrong") }, "hello from a thread");
    context.logger.debug({}, "not for you");
  }),
  defineBatchHandler(
    m.Gathered,
    (items) => {
      for (const { context } of items) say(`gathered ${items.length}`, context);
      if (items.some((item) => (item.payload as { spin?: boolean }).spin === true)) for (;;);
      for (const item of items) (item.payload as { bad?: boolean }).bad === true ? item.fail(new Error("bad")) : item.ack();
    },
    { size: 3, maxWaitMs: 100 },
  ),
  defineHandler(m.Here, (_payload, context) => say("here", context), { execution: "inline" }),
  defineHandler(m.Heap, (_payload, context) => say("heap", context, process.memoryUsage().heapTotal)),
  defineHandler(m.Litter, (_payload, context) => {
    Array.from({ length: 500_000 }, (_, number) => ({ number }));
    say("heap", context, process.memoryUsage().heapTotal);
  }),
  defineHandler(m.There, (_payload, context) => say("there", context)),
];

export default defineConfig({ transports: { default: { dsn: "memory:" } }, handlers });
