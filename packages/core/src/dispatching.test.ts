import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MessengerConfig } from "./config.ts";
import type { DispatchOptions } from "./dispatch-options.ts";
import { defineStamp, type Envelope } from "./envelope.ts";
import { type MessengerError, OptionsError } from "./errors.ts";
import { defineHandler, type HandlerContext } from "./handlers.ts";
import { type AnyMessageType, defineMessage } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import type { Middleware } from "./middleware/chain.ts";
import { HandlerFailedError } from "./middleware/handle.ts";
import { delay, expiry, headers, metadata, priority, queueName, received, transportNames } from "./stamps.ts";
import { createManualRuntime } from "./testing/manual-clock.ts";
import { createMemoryTransport, type MemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";

const Task = defineMessage("task");
const Followup = defineMessage("followup");

interface Bench {
  readonly messenger: Messenger;
  readonly memory: MemoryTransport;
  /** Works until nothing is ready. */
  work(): Promise<void>;
}

async function using(config: Partial<MessengerConfig>, run: (bench: Bench) => Promise<void>): Promise<void> {
  const memory = createMemoryTransport();
  const retry = { maxRetries: 1, delayMs: 0 };
  const messenger = await createMessenger(
    { transports: { default: { dsn: "memory:", retry } }, ...config },
    { transports: { default: memory } },
  );
  const work = () => new Worker({ transport: memory, messenger, stopWhenEmpty: true, pollInterval: 10 }).start();
  try {
    await run({ messenger, memory, work });
  } finally {
    await messenger.close();
    await memory.close();
  }
}

const typesOf = (envelopes: readonly Envelope[]): string[] => envelopes.map((envelope) => envelope.message.type);

describe("defaults of a message type", () => {
  const tenant = defineStamp<{ id: string }>("test.tenant", { sendable: true });
  const Report = defineMessage("report", {
    queue: "reports",
    priority: 8,
    delayMs: 1_500,
    expiresInMs: 10_000,
    headers: { kind: "report", lang: "en" },
    metadata: { owner: "finance" },
    stamps: [tenant({ id: "none" })],
  });

  async function sent(type: AnyMessageType, options?: DispatchOptions): Promise<Envelope> {
    let envelope: Envelope | undefined;
    await using({ messages: [type] }, async ({ messenger, memory }) => {
      await messenger.dispatch(type, {}, options);
      envelope = memory.getSent()[0];
    });
    assert.ok(envelope !== undefined);
    return envelope;
  }

  test("are stamped on every message of the type", async () => {
    const envelope = await sent(Report);
    assert.deepEqual(envelope.last(queueName), { queue: "reports" });
    assert.deepEqual(envelope.last(priority), { priority: 8 });
    assert.deepEqual(envelope.last(delay), { delayMs: 1_500 });
    assert.deepEqual(envelope.last(headers), { kind: "report", lang: "en" });
    assert.deepEqual(envelope.last(metadata), { owner: "finance" });
    assert.deepEqual(envelope.last(tenant), { id: "none" });
    assert.equal(typeof envelope.last(expiry)?.at, "number");
  });

  test("give way to what dispatch says of the same kind", async () => {
    const envelope = await sent(Report, {
      queue: "urgent",
      priority: 10,
      delayMs: 0,
      headers: { lang: "de" },
      metadata: { actor: "ada" },
      stamps: [tenant({ id: "acme" })],
    });
    assert.deepEqual(envelope.last(queueName), { queue: "urgent" });
    assert.deepEqual(envelope.last(priority), { priority: 10 });
    assert.equal(envelope.last(delay), undefined);
    assert.deepEqual(envelope.last(headers), { kind: "report", lang: "de" });
    assert.deepEqual(envelope.last(metadata), { owner: "finance", actor: "ada" });
    assert.deepEqual(envelope.all(tenant), [{ id: "acme" }], "one of each kind");
  });

  test("name a transport, which every pattern of the routing beats", async () => {
    const transports = { default: { dsn: "memory:" }, slow: { dsn: "memory:" }, fast: { dsn: "memory:" } };
    const Slow = defineMessage("batch.slow", { transport: "slow" });
    const both = await createMessenger({ transports, messages: [Slow] });
    assert.equal((await both.dispatch(Slow, {})).transport, "slow");
    assert.equal((await both.dispatch(Task, {})).transport, "default");
    await both.close();
    for (const pattern of ["batch.slow", "batch.*", "*"]) {
      const routed = await createMessenger({ transports, messages: [Slow], routing: { [pattern]: "fast" } });
      assert.equal((await routed.dispatch(Slow, {})).transport, "fast", pattern);
      assert.equal((await routed.dispatch(Slow, {}, { transport: "slow" })).transport, "slow", "an override of one dispatch");
      await routed.close();
    }
  });

  test("are refused when they name a transport or a bus that is not there", async () => {
    const transports = { default: { dsn: "memory:" } };
    for (const type of [defineMessage("a", { transport: "nowhere" }), defineMessage("a", { bus: "nowhere" })])
      await assert.rejects(createMessenger({ transports, messages: [type] }), OptionsError);
    assert.throws(() => defineMessage("a", { headers: { n: 1 as never } }), OptionsError);
    assert.throws(() => defineMessage("a", { expiresInMs: 0 }), OptionsError);
  });
});

describe("an override of the transport", () => {
  test("sends to that one alone, whatever the routing says", async () => {
    const transports = { a: { dsn: "memory:" }, b: { dsn: "memory:" } };
    const messenger = await createMessenger({ transports, routing: { "*": ["a", "b"] } });
    assert.equal((await messenger.dispatch(Task, {}, { transport: "a" })).transport, "a");
    assert.equal(await messenger.transport("a").getQueueDepth(), 1);
    assert.equal(await messenger.transport("b").getQueueDepth(), 0);
    await messenger.dispatch(Task, {});
    assert.deepEqual([await messenger.transport("a").getQueueDepth(), await messenger.transport("b").getQueueDepth()], [2, 1]);
    await assert.rejects(
      messenger.dispatch(Task, {}, { transport: "c" }),
      (error) => (error as MessengerError).code === "TRANSPORT_NOT_FOUND",
    );
    assert.equal((messenger.transport("a") as MemoryTransport).getSent()[0]?.last(transportNames)?.names[0], "a");
    await messenger.close();
  });
});

describe("dispatchMany", () => {
  test("answers per item, in order, and a refused one does not hold back the others", async () => {
    await using({}, async ({ messenger, memory }) => {
      const results = await messenger.dispatchMany([
        { type: Task, payload: 1 },
        { type: Task, payload: 1n },
        { type: Task, payload: 3, options: { priority: 11 } },
        { type: Task, payload: 4, options: { idempotencyKey: "k" } },
        { type: Task, payload: 4, options: { idempotencyKey: "k" } },
        { type: Task, payload: 5, options: { idempotencyKey: "k" } },
      ]);
      assert.deepEqual(
        results.map((result) => ("error" in result ? result.error.code : result.duplicate)),
        [false, "PAYLOAD_NOT_JSON", "DISPATCH_OPTIONS_INVALID", false, true, "IDEMPOTENCY_CONFLICT"],
      );
      assert.deepEqual(
        memory.getSent().map((envelope) => envelope.message.payload),
        [1, 4],
      );
    });
  });
});

describe("dispatchMany of thousands", () => {
  const items = (count: number) => Array.from({ length: count }, (_, n) => ({ type: Task, payload: n }));

  test("lets other events in on the way, and keeps the order", async () => {
    await using({}, async ({ messenger, memory }) => {
      const sending = messenger.dispatchMany(items(2_000));
      await new Promise((resolve) => setImmediate(resolve));
      const before = memory.getSent().length;
      assert.ok(before > 0 && before < 2_000, `${before} were sent before the event`);
      await sending;
      assert.deepEqual(
        memory.getSent().map((envelope) => envelope.message.payload),
        items(2_000).map(({ payload }) => payload),
      );
    });
  });

  test("lets nothing in between messages that are bound to each other: keys, a transaction, a handler's success", async () => {
    for (const options of [{ partitionKey: "account" }, { transaction: {} }, { afterCurrent: true }] satisfies DispatchOptions[]) {
      await using({}, async ({ messenger, memory }) => {
        const last = { type: Task, payload: 0, options };
        const sending = messenger.dispatchMany([...items(1_200), last]);
        const after = messenger.dispatch(Task, "after");
        await Promise.all([sending, after]);
        const sent = memory.getSent().map((envelope) => envelope.message.payload);
        assert.ok(sent.indexOf("after") >= 1_200, `${JSON.stringify(options)}: at ${sent.indexOf("after")}`);
      });
    }
  });

  test("answers for an item that is none, and can be closed afterwards", async () => {
    await using({}, async ({ messenger }) => {
      const [none, good] = await messenger.dispatchMany([undefined as never, ...items(1)]);
      assert.ok(none !== undefined && "error" in none && good !== undefined && !("error" in good));
      await messenger.close();
    });
  });

  test("is finished by a messenger that is closed meanwhile, which takes nothing more", async () => {
    await using({}, async ({ messenger, memory }) => {
      const sending = messenger.dispatchMany(items(2_000));
      const closing = messenger.close();
      const [late] = await messenger.dispatchMany(items(1));
      assert.equal(late !== undefined && "error" in late && late.error.code, "MESSENGER_CLOSED");
      await assert.rejects(messenger.dispatch(Task, 1), { code: "MESSENGER_CLOSED" });
      await closing;
      assert.equal(memory.getSent().length, 2_000);
      assert.ok((await sending).every((result) => !("error" in result)));
    });
  });
});

describe("a message that expires", () => {
  const starts = async (o: {
    waitMs: number;
    options: DispatchOptions;
    failFirst?: boolean;
  }): Promise<{ ran: number; reason: string | undefined }> => {
    const runtime = createManualRuntime();
    const memory = createMemoryTransport({ runtime });
    let ran = 0;
    const handler = defineHandler(Task, () => {
      ran += 1;
      if (o.failFirst === true && ran === 1) throw new Error("again");
    });
    const retry = { maxRetries: 1, delayMs: o.failFirst === true ? 60_000 : 0, jitter: 0 };
    const messenger = await createMessenger(
      { transports: { default: { dsn: "memory:", retry } }, handlers: [handler] },
      { transports: { default: memory }, runtime },
    );
    const work = () => new Worker({ transport: memory, messenger, stopWhenEmpty: true }).start();
    await messenger.dispatch(Task, {}, o.options);
    await runtime.clock.advance(o.waitMs);
    await work();
    if (o.failFirst === true) {
      await runtime.clock.advance(60_000);
      await work();
    }
    const { deadLetters } = await memory.listDeadLetters({}, { limit: 1 });
    await messenger.close();
    await memory.close();
    return { ran, reason: deadLetters[0]?.failure.reason };
  };

  test("is handled when it is started in time, up to the last millisecond", async () => {
    assert.deepEqual(await starts({ waitMs: 500, options: { expiresInMs: 500 } }), { ran: 1, reason: undefined });
  });

  test("is a dead letter with the reason expired when it is not, and no handler sees it", async () => {
    assert.deepEqual(await starts({ waitMs: 501, options: { expiresInMs: 500 } }), { ran: 0, reason: "expired" });
  });

  test("counts from when it is due", async () => {
    assert.deepEqual(await starts({ waitMs: 10_400, options: { delayMs: 10_000, expiresInMs: 500 } }), { ran: 1, reason: undefined });
    assert.deepEqual(await starts({ waitMs: 10_600, options: { delayMs: 10_000, expiresInMs: 500 } }), { ran: 0, reason: "expired" });
  });

  test("does not expire between two attempts: it was started", async () => {
    assert.deepEqual(await starts({ waitMs: 0, options: { expiresInMs: 500 }, failFirst: true }), { ran: 2, reason: undefined });
  });

  test("is refused with a time that is over, or with two", async () => {
    await using({}, async ({ messenger }) => {
      const refused = (options: DispatchOptions) =>
        assert.rejects(messenger.dispatch(Task, {}, options), (error) => (error as MessengerError).code === "DISPATCH_OPTIONS_INVALID");
      await refused({ expiresAt: "2020-01-01T00:00:00Z" });
      await refused({ expiresInMs: 0 });
      await refused({ expiresInMs: 100, expiresAt: new Date(8e12) });
      await refused({ delayMs: 60_000, expiresAt: new Date(messenger.runtime.clock.now() + 1_000) });
    });
  });

  test("is handled after a redrive, which does not want it to expire again", async () => {
    const runtime = createManualRuntime();
    const memory = createMemoryTransport({ runtime });
    const handlers = [defineHandler(Task, () => undefined)];
    const messenger = await createMessenger(
      { transports: { default: { dsn: "memory:" } }, handlers },
      { transports: { default: memory }, runtime },
    );
    const work = () => new Worker({ transport: memory, messenger, stopWhenEmpty: true }).start();
    const { messageId } = await messenger.dispatch(Task, {}, { expiresInMs: 1_000 });
    await runtime.clock.advance(2_000);
    await work();
    assert.deepEqual((await memory.redriveDeadLetters({ ids: [messageId] }, 1)).redriven, [messageId]);
    await work();
    assert.equal(memory.getAcknowledged().length, 1);
    await messenger.close();
    await memory.close();
  });
});

describe("a dispatch after the current handler", () => {
  const after = { afterCurrent: true } as const;
  const twice = (first: (context: HandlerContext) => unknown) => {
    let runs = 0;
    return defineHandler(Task, async (_, context) => {
      await first(context);
      runs += 1;
      if (runs === 1) throw new Error("the first attempt fails");
    });
  };

  test("is sent once the handler has succeeded, and dropped with every attempt that failed", async () => {
    const heard: unknown[] = [];
    const handlers = [
      twice(async (context) => {
        const receipt = await context.dispatch(Followup, { attempt: context.attempt }, after);
        assert.deepEqual([receipt.held, receipt.transport], [true, ""]);
      }),
      defineHandler(Followup, (payload) => void heard.push(payload)),
    ];
    await using({ handlers }, async ({ messenger, memory, work }) => {
      await messenger.dispatch(Task, {});
      await work();
      assert.deepEqual(heard, [{ attempt: 2 }]);
      assert.deepEqual(typesOf(memory.getSent()), ["task", "followup"]);
    });
  });

  test("is held the same way by messenger.dispatch, in order, and what is sent without it goes at once", async () => {
    let messenger: Messenger | undefined;
    const handler = defineHandler(Task, async () => {
      await messenger?.dispatch(Followup, 1, after);
      await messenger?.dispatch(Followup, 2, after);
      await messenger?.dispatch(Followup, 0);
    });
    await using({ handlers: [handler, defineHandler(Followup, () => undefined)] }, async (bench) => {
      messenger = bench.messenger;
      await messenger.dispatch(Task, {});
      await bench.work();
      assert.deepEqual(
        bench.memory
          .getSent()
          .slice(1)
          .map((envelope) => envelope.message.payload),
        [0, 1, 2],
      );
    });
  });

  for (const names of [["only"], ["first", "second"]]) {
    test(`waits for ${names.length === 1 ? "the handler" : "all handlers"} when own middleware dispatched it, also at a second attempt`, async () => {
      const heard: unknown[] = [];
      let runs = 0;
      let messenger: Messenger | undefined;
      const middleware: Middleware = async (envelope, next) => {
        if (envelope.last(received) !== undefined && envelope.message.type === "task") {
          runs += 1;
          await messenger?.dispatch(Followup, runs, after);
        }
        return next(envelope);
      };
      const handlers = names.map((name) =>
        defineHandler(
          Task,
          () => {
            if (runs === 1) throw new Error("the first attempt fails");
          },
          { name },
        ),
      );
      await using(
        { middleware: [middleware], handlers: [...handlers, defineHandler(Followup, (n) => void heard.push(n))] },
        async (bench) => {
          messenger = bench.messenger;
          await messenger.dispatch(Task, {});
          await bench.work();
          assert.deepEqual(heard, [2]);
        },
      );
    });
  }

  test("waits for each handler apart: one that failed takes nothing of another along", async () => {
    const handlers = [
      defineHandler(Task, (_, context) => context.dispatch(Followup, "good", after), { name: "good", priority: 1 }),
      defineHandler(
        Task,
        async (_, context) => {
          await context.dispatch(Followup, "bad", after);
          throw new Error("no");
        },
        { name: "bad" },
      ),
      defineHandler(Followup, () => undefined),
    ];
    await using({ handlers }, async ({ messenger, memory, work }) => {
      await messenger.dispatch(Task, {});
      await work();
      assert.deepEqual(
        memory
          .getSent()
          .slice(1)
          .map((envelope) => envelope.message.payload),
        ["good"],
        "once, over two attempts",
      );
    });
  });

  test("makes its handler fail when it cannot be sent, so that nothing is lost", async () => {
    let runs = 0;
    const handler = defineHandler(Task, (_, context) => {
      runs += 1;
      return context.dispatch(Followup, runs === 1 ? 1n : 2, after);
    });
    await using({ handlers: [handler, defineHandler(Followup, () => undefined)] }, async ({ messenger, memory, work }) => {
      await messenger.dispatch(Task, {});
      await work();
      assert.equal(runs, 2);
      assert.deepEqual(
        memory
          .getSent()
          .slice(1)
          .map((envelope) => envelope.message.payload),
        [2],
      );
    });
  });

  test("goes at once where no handler runs", async () => {
    await using({}, async ({ messenger }) => {
      const receipt = await messenger.dispatch(Task, {}, after);
      assert.deepEqual([receipt.held, receipt.transport], [undefined, "default"]);
    });
  });

  test("waits for the outermost of handlers that run in place within each other", async () => {
    const Inner = defineMessage("inner");
    let messenger: Messenger | undefined;
    const sentBefore: number[] = [];
    const memory = createMemoryTransport();
    const handlers = [
      defineHandler(Task, async (fail) => {
        await messenger?.dispatch(Inner, {});
        sentBefore.push(memory.getSent().length);
        if (fail === true) throw new Error("no");
      }),
      defineHandler(Inner, (_, context) => context.dispatch(Followup, {}, after)),
    ];
    const transports = { sync: { dsn: "sync:" }, store: { dsn: "memory:" } };
    messenger = await createMessenger(
      { transports, routing: { followup: "store", "*": "sync" }, handlers },
      { transports: { store: memory } },
    );
    await assert.rejects(messenger.dispatch(Task, true), HandlerFailedError);
    assert.equal(memory.getSent().length, 0);
    await messenger.dispatch(Task, false);
    assert.equal(memory.getSent().length, 1);
    assert.deepEqual(sentBefore, [0, 0], "not before the outer handler has ended");
    await messenger.close();
    await memory.close();
  });
});
