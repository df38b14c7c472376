import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { currentAttempt } from "./attempt.ts";
import type { Executor, Outcome } from "./execute.ts";
import { defineHandler, type HandlerContext, type HandlerFunction } from "./handlers.ts";
import { createInProcessExecutor } from "./in-process-executor.ts";
import { defineMessage } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import type { Middleware } from "./middleware/chain.ts";
import { handled } from "./stamps.ts";
import { testEnvelope } from "./testing/envelopes.ts";
import { createManualRuntime } from "./testing/manual-clock.ts";
import type { Received } from "./transport.ts";
import { createMemoryTransport } from "./transports/memory.ts";

const Task = defineMessage("task", { schema: z.object({ n: z.int() }) });
const never = new AbortController().signal;

async function setUp(handle: HandlerFunction<{ n: number }>, middleware: readonly Middleware[] = []) {
  const runtime = createManualRuntime();
  const transport = createMemoryTransport();
  const messenger = await createMessenger(
    {
      transports: { default: { dsn: "memory:" } },
      middleware,
      handlers: [defineHandler(Task, handle, { execution: "inline", name: "it" })],
    },
    { transports: { default: transport }, runtime },
  );
  return { messenger, transport, clock: runtime.clock, executor: executorOf(messenger) };
}

const executorOf = (messenger: Messenger): Executor => createInProcessExecutor({ messenger, transport: "default", size: 5 });

function receivedOf(payload: unknown = { n: 1 }): Received {
  const envelope = testEnvelope(Task.name, payload);
  return { receipt: { id: "m", queue: "default", fence: 1 }, queue: "default", priority: 5, body: "{}", envelope };
}

const THEN = "then";
const thenable = (property: PropertyDescriptor): object => Object.defineProperties({}, { [THEN]: property });

function fail(): never {
  throw new Error("at once");
}

const kindOf = async (ending: Outcome | Promise<Outcome>): Promise<string> =>
  `${ending instanceof Promise ? "later" : "now"}: ${(await ending).kind}`;

test("a handler that has ended when it returns has its outcome then; what has to be waited for is waited for", async () => {
  const then = (resolve: (value: unknown) => void): void => resolve("done");
  const cases: readonly [string, HandlerFunction<{ n: number }>][] = [
    ["now: handled", () => undefined],
    ["now: handled", () => thenable({ value: "no function" })],
    ["later: handled", async () => undefined],
    ["later: handled", () => thenable({ value: then })],
    ["later: handled", () => Object.assign(() => undefined, { then })],
    ["later: failed", () => Promise.reject(new Error("later"))],
    ["later: failed", fail],
    ["later: failed", () => thenable({ get: fail })],
    ["later: snoozed", (_, context) => context.snooze(5)],
  ];
  for (const [expected, handle] of cases) {
    const { executor } = await setUp(handle);
    assert.equal(await kindOf(executor.execute(receivedOf(), never)), expected, String(handle));
    await executor.close();
  }
  const { executor } = await setUp(() => undefined);
  assert.equal(await kindOf(executor.execute(receivedOf({ n: "one" }), never)), "later: undecodable");
});

test("what a handler that ends at once has dispatched with afterCurrent is sent before its outcome is there", async () => {
  let others = 0;
  const { executor, transport } = await setUp((_, context) => {
    others += 1;
    void context.dispatch(Task, { n: 2 }, { afterCurrent: true });
  });
  assert.equal(await kindOf(executor.execute(receivedOf(), never)), "later: handled");
  assert.deepEqual([others, await transport.getQueueDepth()], [1, 1]);
});

test("a middleware waits for a promise of a handler that ends at once, and sees what it has returned", async () => {
  const seen: unknown[] = [];
  const middleware: Middleware = (envelope, next) =>
    next(envelope).then((after) => {
      seen.push(after.last(handled)?.result);
      return after;
    });
  const { executor } = await setUp(() => "result", [middleware]);
  assert.equal(await kindOf(executor.execute(receivedOf(), never)), "later: handled");
  assert.deepEqual(seen, ["result"]);
});

test("a handler that ends at once runs in the context of its attempt, which nothing is left of", async () => {
  let inside: unknown;
  let kept: HandlerContext | undefined;
  const { executor, clock } = await setUp((_, context) => {
    inside = currentAttempt.getStore()?.received;
    kept = context;
  });
  const received = receivedOf();
  assert.equal(await kindOf(executor.execute(received, never)), "now: handled");
  assert.equal(inside, received);
  assert.equal(currentAttempt.getStore(), undefined);
  executor.cancel?.(received);
  await clock.advance(1e9);
  assert.equal(kept?.signal.aborted, false, "neither cancelled nor timed out afterwards");
});

test("a handler that ends well at once counts as handled, also when it was to be aborted meanwhile", async () => {
  const stopping = new AbortController();
  let aborted = false;
  const { executor, clock } = await setUp((_, context) => {
    stopping.abort();
    aborted = context.signal.aborted;
  });
  assert.equal(await kindOf(executor.execute(receivedOf(), stopping.signal)), "now: handled");
  assert.equal(aborted, true);
  await clock.advance(1e9);
  assert.equal(await kindOf(executor.execute(receivedOf(), stopping.signal)), "now: interrupted");
});
