import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { execution } from "./attempt.ts";
import { Envelope } from "./envelope.ts";
import { defineHandler } from "./handlers.ts";
import { defineMessage } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import type { Middleware } from "./middleware/chain.ts";
import { createJsonSerializer, type Serializer } from "./serializer.ts";
import { dispatched, messageId, received, sent } from "./stamps.ts";
import { createMemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";

const Task = defineMessage("task", { queue: "tasks", priority: 7, retry: { maxRetries: 4 } });

const work = (messenger: Messenger, name = "default") =>
  new Worker({
    transport: messenger.transport(name) as never,
    transportName: name,
    messenger,
    stopWhenEmpty: true,
    pollInterval: 10,
  }).start();

describe("a messenger", () => {
  test("names its transports in the order of the configuration, whichever was connected first", async () => {
    const slow = {
      schemes: ["slow"],
      async create() {
        for (let n = 0; n < 10; n += 1) await Promise.resolve();
        return createMemoryTransport();
      },
    };
    const transports = { late: { dsn: "slow:" }, early: { dsn: "memory:" } };
    const messenger = await createMessenger({ transports }, { transportFactories: [slow] });
    assert.deepEqual(messenger.transportNames, ["late", "early"]);
    await messenger.close();
  });

  test("middleware sees where a message was sent, and tells dispatching from handling", async () => {
    const seen: object[] = [];
    const watch: Middleware = async (envelope, next) => {
      const result = await next(envelope);
      const { transport, queue } = envelope.last(received) ?? result.last(sent) ?? { transport: "", queue: "" };
      const side = envelope.last(received) === undefined ? "dispatching" : "handling";
      seen.push({ side, transport, queue, isInWorker: envelope.last(execution) !== undefined });
      return result;
    };
    const messenger = await createMessenger({
      transports: { default: { dsn: "memory:" } },
      handlers: [defineHandler(Task, () => undefined)],
      middleware: [watch],
    });
    await messenger.dispatch(Task, {});
    await work(messenger);
    const where = { transport: "default", queue: "tasks" };
    assert.deepEqual(seen, [
      { side: "dispatching", ...where, isInWorker: false },
      { side: "handling", ...where, isInWorker: true },
    ]);
    await messenger.close();
  });

  test("a handler learns from its context what there is to know about its message", async () => {
    let known: object = {};
    const handler = defineHandler(Task, (_, context) => {
      const { messageId, type, queue, transport, attempt, maxRetries, priority, headers, metadata, partitionKey } = context;
      known = { messageId, type, queue, transport, attempt, maxRetries, priority, headers, metadata, partitionKey };
      assert.ok(context.dispatchedAt instanceof Date && !context.signal.aborted);
    });
    const messenger = await createMessenger({ transports: { default: { dsn: "memory:" } }, handlers: [handler] });
    const more = { headers: { traceparent: "00-1" }, metadata: { actor: "ada" }, partitionKey: "acme" };
    const receipt = await messenger.dispatch(Task, {}, more);
    await work(messenger);
    const { messageId } = receipt;
    const rest = { type: "task", queue: "tasks", transport: "default", attempt: 1, maxRetries: 4, priority: 7 };
    assert.deepEqual(known, { messageId, ...rest, ...more });
    await messenger.close();
  });

  test("each transport may have a serializer of its own, which reads what foreign producers write", async () => {
    /** Writes `type;payload`, as somebody else's program does. */
    const foreign: Serializer = {
      encode: ({ message }) => `${message.type};${JSON.stringify(message.payload)}`,
      decode: (body) => {
        const at = body.indexOf(";");
        const stamps = [messageId({ id: "00000000-0000-7000-8000-000000000001" }), dispatched({ at: 0 })];
        return Envelope.wrap({ type: body.slice(0, at), payload: JSON.parse(body.slice(at + 1)) as unknown }, stamps);
      },
    };
    const own = createMemoryTransport();
    const other = createMemoryTransport({ serializer: foreign });
    const heard: unknown[] = [];
    const messenger = await createMessenger(
      {
        transports: { own: { dsn: "memory:", serializer: createJsonSerializer() }, other: { dsn: "memory:", serializer: foreign } },
        handlers: [defineHandler(Task, (payload, { transport }) => void heard.push([transport, payload]))],
      },
      { transports: { own, other } },
    );
    for (const transport of ["own", "other"]) await messenger.dispatch(Task, { for: transport }, { transport });
    const [body] = await other.receive(1, { workerId: "a look" });
    assert.equal(body?.body, 'task;{"for":"other"}');
    await other.reject([{ receipt: body.receipt, release: true }]);
    for (const transport of ["own", "other"]) await work(messenger, transport);
    assert.deepEqual(heard, [
      ["own", { for: "own" }],
      ["other", { for: "other" }],
    ]);
    await messenger.close();
    await own.close();
    await other.close();
  });
});
