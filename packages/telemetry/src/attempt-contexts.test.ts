import assert from "node:assert/strict";
import { test } from "node:test";
import { context, propagation, ROOT_CONTEXT, TraceFlags, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import { createMemoryTransport, createMessenger, decideRoots, defineHandler, defineMessage, Worker } from "@symphony/core";
import { AttemptContexts } from "./attempt-contexts.ts";

const contexts = new AttemptContexts();
context.setGlobalContextManager(contexts.enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(new TracerProvider());
decideRoots({ keep: () => false, isOutside: () => contexts.isOutside() });

const Task = defineMessage("task");
const OUTER = { traceId: "f".repeat(32), spanId: "e".repeat(16), traceFlags: TraceFlags.NONE };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const traceIdOf = (n: number): string => String(n + 1).padStart(32, "0");
const later = async (): Promise<string | undefined> => {
  await turn();
  return here();
};
const here = (): string | undefined => trace.getSpanContext(context.active())?.traceId;

/** Handles so many messages, every third without a trace of its own. */
async function consume(count: number, handle: (n: number) => unknown, around: (work: () => Promise<void>) => Promise<void>) {
  const transport = createMemoryTransport();
  const handlers = [defineHandler(Task, async (payload) => void (await handle((payload as { n: number }).n)), { execution: "inline" })];
  const messenger = await createMessenger(
    { transports: { default: { dsn: "memory:" } }, handlers },
    { transports: { default: transport } },
  );
  for (let n = 0; n < count; n++) {
    const headers = n % 3 === 2 ? {} : { traceparent: `00-${traceIdOf(n)}-00f067aa0ba902b7-00` };
    // As a sender would that knows nothing of tracing: what is active here would be carried else.
    await messenger.dispatch(Task, { n }, { headers });
  }
  await around(async () => {
    const worker = new Worker({ transport, messenger, batchSize: 20, maxConcurrency: 20, stopWhenEmpty: true });
    const stopped = new Promise((resolve) => worker.on("stop", resolve));
    await worker.start();
    await stopped;
  });
  await messenger.close();
}

const apart = (work: () => Promise<void>): Promise<void> => work();
const within = (work: () => Promise<void>): Promise<void> => context.with(trace.setSpanContext(ROOT_CONTEXT, OUTER), work);

for (const [where, around] of [["", apart] as const, [", also when its worker was started in another", within] as const])
  test(`an attempt that is not kept has a trace of its own for as long as it runs${where}`, async () => {
    const seen = new Map<number, Set<string | undefined>>();
    await consume(
      60,
      async (n) => {
        const found = new Set([here()]);
        seen.set(n, found);
        await turn();
        found.add(here());
        await Promise.all([1, 2].map(async () => void found.add(await later())));
      },
      around,
    );
    assert.equal(seen.size, 60);
    const ids = [...seen.values()].map((found) => [...found]);
    for (const found of ids) assert.equal(found.length, 1);
    assert.equal(new Set(ids.flat()).size, 60);
    for (const [n, found] of seen) if (n % 3 !== 2) assert.deepEqual([...found], [traceIdOf(n)]);
  });

test("what a handler enters itself counts inside of it, the root included, and ends with it", async () => {
  const seen: (string | undefined)[][] = [];
  await consume(
    1,
    async () => {
      const before = here();
      const root = await context.with(ROOT_CONTEXT, later);
      const other = await context.with(trace.setSpanContext(context.active(), OUTER), later);
      seen.push([before, root, other, here()]);
    },
    apart,
  );
  assert.deepEqual(seen, [[traceIdOf(0), undefined, OUTER.traceId, traceIdOf(0)]]);
});

test("a callback that was bound to an attempt keeps its context after it", async () => {
  let bound: (() => string | undefined) | undefined;
  const bind = (): void => {
    bound = context.bind(context.active(), here);
  };
  await consume(1, bind, apart);
  assert.equal(here(), undefined);
  assert.equal(bound?.(), traceIdOf(0));
});
