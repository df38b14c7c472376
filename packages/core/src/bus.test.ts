import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { type MessengerConfig, parseConfig } from "./config.ts";
import { MessengerError, OptionsError, ValidationError } from "./errors.ts";
import { defineHandler } from "./handlers.ts";
import { defineMessage } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import type { Middleware } from "./middleware/chain.ts";
import { HandlerFailedError } from "./middleware/handle.ts";
import { busName, handled, received } from "./stamps.ts";
import { createMemoryTransport, type MemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";

const Total = defineMessage("cart.total", { schema: z.object({ items: z.array(z.int()) }), result: z.int() });
const Placed = defineMessage("order.placed");

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof MessengerError && error.code === expected;

async function using(config: Partial<MessengerConfig>, run: (messenger: Messenger, memory: MemoryTransport) => Promise<void>) {
  const memory = createMemoryTransport();
  const messenger = await createMessenger({ transports: { default: { dsn: "memory:" } }, ...config }, { transports: { default: memory } });
  try {
    await run(messenger, memory);
  } finally {
    await messenger.close();
    await memory.close();
  }
}

async function consume(messenger: Messenger): Promise<void> {
  await new Worker({ transport: messenger.transport("default"), messenger, stopWhenEmpty: true, pollInterval: 10 }).start();
}

describe("a query", () => {
  const total = defineHandler(Total, ({ items }) => items.reduce((sum, item) => sum + item, 0));

  test("resolves with the typed result of its one handler, and nothing is stored", async () => {
    await using({ handlers: [total] }, async (messenger, memory) => {
      const sum: number = await messenger.handle(Total, { items: [1, 2, 3] });
      assert.equal(sum, 6);
      assert.deepEqual(memory.getSent(), []);
    });
  });

  test("is refused without a handler, and with two before either of them ran", async () => {
    let ran = 0;
    const count = defineHandler(Placed, () => ++ran, { name: "one" });
    const again = defineHandler(Placed, () => ++ran, { name: "two" });
    await using({ handlers: [count, again] }, async (messenger) => {
      await assert.rejects(messenger.handle(Total, { items: [] }), code("HANDLER_NOT_FOUND"));
      await assert.rejects(messenger.handle(Placed, {}), code("HANDLER_AMBIGUOUS"));
      assert.equal(ran, 0);
    });
  });

  test("is refused when its payload or its result does not match the schema", async () => {
    const half = defineHandler(Total, () => 0.5);
    await using({ handlers: [half] }, async (messenger) => {
      await assert.rejects(messenger.handle(Total, { items: ["1"] as never }), ValidationError);
      await assert.rejects(messenger.handle(Total, { items: [] }), code("RESULT_INVALID"));
    });
  });

  test("rejects with what its handler threw as the cause", async () => {
    const fail = defineHandler(Total, () => Promise.reject(new Error("no prices today")));
    await using({ handlers: [fail] }, async (messenger) => {
      await assert.rejects(messenger.handle(Total, { items: [] }), (error) => {
        assert.ok(error instanceof HandlerFailedError);
        return (error.cause as Error).message === "no prices today";
      });
    });
  });

  test("is refused when a middleware swallowed it", async () => {
    await using({ handlers: [total], middleware: [async (envelope) => envelope] }, async (messenger) => {
      await assert.rejects(messenger.handle(Total, { items: [] }), code("HANDLER_NOT_FOUND"));
    });
  });
});

describe("several buses", () => {
  const log: string[] = [];
  const note =
    (text: string): Middleware =>
    async (envelope, next) => {
      const side = envelope.last(received) === undefined ? "out" : "in";
      log.push(`${text} ${side}`);
      const result = await next(envelope);
      log.push(`${text} back`);
      return result;
    };
  const buses = { commands: { middleware: [note("commands")] }, events: { middleware: [note("events")], allowNoHandlers: true } };

  test("each run their own middleware around the common one, when a message is sent and when it is handled", async () => {
    const handlers = [defineHandler(Placed, () => void log.push("handler"))];
    await using({ handlers, buses, defaultBus: "commands", middleware: [note("all")] }, async (messenger) => {
      log.length = 0;
      await messenger.bus("events").dispatch(Placed, {});
      await consume(messenger);
      const out = ["all out", "events out", "events back", "all back"];
      assert.deepEqual(log, [...out, "all in", "events in", "handler", "events back", "all back"]);
      log.length = 0;
      await messenger.dispatch(Placed, {});
      assert.deepEqual(log, ["all out", "commands out", "commands back", "all back"]);
    });
  });

  test("put their name on the message, and a worker that does not know it takes the default bus", async () => {
    let handledOn: string[] = [];
    const on = (bus: string) => defineHandler(Placed, () => void handledOn.push(bus), { name: bus, bus });
    await using({ handlers: [on("commands"), on("events")], buses, defaultBus: "commands" }, async (messenger, memory) => {
      await messenger.dispatch(Placed, {}, { bus: "events" });
      assert.equal(memory.getSent().at(-1)?.last(busName)?.bus, "events");
      await consume(messenger);
      assert.deepEqual(handledOn, ["events"]);
      handledOn = [];
      const [sent] = memory.getSent();
      assert.ok(sent !== undefined);
      await messenger.buses
        .of(sent.with(busName({ bus: "retired" })))
        .dispatch(
          sent.without(busName).with(received({ transport: "default", queue: "default", receipt: { id: "", queue: "default", fence: 0 } })),
        );
      assert.deepEqual(handledOn, ["commands"]);
    });
  });

  test("answer dispatchMany and handle on their own", async () => {
    const handlers = [
      defineHandler(Total, () => 1, { name: "a", bus: "commands" }),
      defineHandler(Total, () => 2, { name: "b", bus: "events" }),
    ];
    await using({ handlers, buses, defaultBus: "commands" }, async (messenger, memory) => {
      assert.equal(await messenger.handle(Total, { items: [] }), 1);
      assert.equal(await messenger.bus("events").handle(Total, { items: [] }), 2);
      const results = await messenger.bus("events").dispatchMany([
        { type: Total, payload: { items: [] } },
        { type: Total, payload: {} },
      ]);
      assert.deepEqual(
        results.map((result) => ("error" in result ? result.error.code : result.transport)),
        ["default", "PAYLOAD_INVALID"],
      );
      assert.equal(memory.getSent().at(-1)?.last(busName)?.bus, "events");
    });
  });

  test("are refused by a name that does not exist, and need a default when there are several", async () => {
    await using({ buses, defaultBus: "events" }, async (messenger) => {
      assert.throws(() => messenger.bus("querys"), code("DISPATCH_OPTIONS_INVALID"));
      await assert.rejects(messenger.dispatch(Placed, {}, { bus: "querys" }), code("DISPATCH_OPTIONS_INVALID"));
    });
    const transports = { default: { dsn: "memory:" } };
    const refused = (config: unknown): void =>
      assert.throws(
        () => parseConfig(config),
        (error) => error instanceof OptionsError && error.path === "config.defaultBus",
      );
    refused({ transports, buses });
    refused({ transports, buses, defaultBus: "queries" });
    assert.equal(parseConfig({ transports, buses: { only: {} } }).defaultBus, "only");
    assert.deepEqual(parseConfig({ transports }).buses, { default: { middleware: [], allowNoHandlers: false, allowNoSenders: false } });
  });
});

describe("a message without a handler", () => {
  test("is a dead letter, unless its bus allows that", async () => {
    const messages = [Placed];
    await using({ messages }, async (messenger, memory) => {
      await messenger.dispatch(Placed, {});
      await consume(messenger);
      assert.equal((await memory.listDeadLetters({}, { limit: 1 })).deadLetters[0]?.failure.reason, "no_handler");
    });
    await using({ messages, buses: { default: { allowNoHandlers: true } } }, async (messenger, memory) => {
      await messenger.dispatch(Placed, {});
      await consume(messenger);
      assert.equal((await memory.listDeadLetters({}, { limit: 1 })).total, 0);
      assert.equal(memory.getAcknowledged().length, 1);
    });
  });
});

describe("a message without a route", () => {
  const transports = { a: { dsn: "memory:" }, b: { dsn: "memory:" } };

  test("is refused, unless its bus allows that: then it is handled in place", async () => {
    const handlers = [defineHandler(Total, ({ items }) => items.length)];
    const strict = await createMessenger({ transports, handlers });
    await assert.rejects(strict.dispatch(Total, { items: [] }), code("ROUTE_NOT_FOUND"));
    await strict.close();
    let seen: unknown[] = [];
    const watch: Middleware = async (envelope, next) => {
      const result = await next(envelope);
      seen = [...seen, ...result.all(handled)];
      return result;
    };
    const open = await createMessenger({ transports, handlers, buses: { default: { allowNoSenders: true, middleware: [watch] } } });
    const receipt = await open.dispatch(Total, { items: [1, 2] });
    assert.deepEqual([receipt.transport, receipt.duplicate], ["", false]);
    assert.deepEqual(seen, [{ handler: "cart.total", result: 2 }]);
    await open.close();
  });
});

describe("the sync transport", () => {
  const transports = { default: { dsn: "sync:" } };

  test("handles in place with the same middleware, and gives handlers the output of the schema", async () => {
    const log: string[] = [];
    const Greet = defineMessage("greet", { schema: z.object({ name: z.string().transform((name) => name.toUpperCase()) }) });
    const greet = defineHandler(Greet, ({ name }, context) => void log.push(`${name} over ${context.transport}`));
    const middleware: Middleware[] = [
      (envelope, next) => {
        log.push(envelope.last(received) === undefined ? "out" : "in");
        return next(envelope);
      },
    ];
    const messenger = await createMessenger({ transports, handlers: [greet], middleware });
    const receipt = await messenger.dispatch(Greet, { name: "ada" });
    assert.deepEqual(log, ["out", "in", "ADA over default"]);
    assert.equal(receipt.transport, "default");
    assert.deepEqual(messenger.transportNames, [], "nothing can be consumed from it");
    await messenger.close();
  });

  test("tells what was thrown by its class, however deep it is wrapped", async () => {
    class OutOfStock extends Error {}
    class NoSuchCustomer extends Error {}
    const circle = new OutOfStock("circle");
    circle.cause = circle;
    const wrapped = new Error("wrapped", { cause: new AggregateError([new OutOfStock("inside"), new Error("other")]) });
    const handlers = [wrapped, circle].map((error, n) => defineHandler(Placed, () => Promise.reject(error), { name: `handler-${n}` }));
    const messenger = await createMessenger({ transports, handlers });
    await assert.rejects(messenger.dispatch(Placed, {}), (error) => {
      assert.ok(error instanceof HandlerFailedError);
      assert.deepEqual(
        error.wrapped(OutOfStock).map((each) => each.message),
        ["inside", "circle"],
      );
      assert.deepEqual(error.wrapped(NoSuchCustomer), []);
      return true;
    });
    await messenger.close();
  });

  test("runs every handler, and rejects with all that they threw", async () => {
    const ran: string[] = [];
    const of = (name: string, run: () => void) =>
      defineHandler(
        Placed,
        () => {
          ran.push(name);
          run();
        },
        { name },
      );
    const fail = (): never => {
      throw new Error("no");
    };
    const messenger = await createMessenger({ transports, handlers: [of("a", fail), of("b", () => undefined), of("c", fail)] });
    await assert.rejects(messenger.dispatch(Placed, {}), (error) => {
      assert.ok(error instanceof HandlerFailedError);
      assert.deepEqual([error.failures.map((failure) => failure.handler), error.handled], [["a", "c"], ["b"]]);
      return true;
    });
    assert.deepEqual(ran, ["a", "b", "c"]);
    await messenger.close();
  });
});
