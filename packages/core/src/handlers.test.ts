import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConfigError, OptionsError } from "./errors.ts";
import { defineHandler, HandlerRegistry } from "./handlers.ts";
import { defineMessage } from "./message.ts";

const One = defineMessage("one");
const Two = defineMessage("two");
const noop = (): void => {};

describe("a handler", () => {
  test("runs in a thread, without a transaction, under the function's name, unless it says otherwise", () => {
    function resize(): void {}
    const handler = defineHandler(One, resize);
    const { name, execution, transactional, priority } = handler;
    assert.deepEqual([name, execution, transactional, priority], ["resize", "thread", false, 0]);
    assert.equal(handler.message, One);
    assert.equal(handler.handle, resize);
    assert.ok(Object.isFrozen(handler));
    assert.equal(defineHandler(One, () => {}).name, "one", "a function without a name gets the message's");
    assert.equal(defineHandler(One, resize, { name: "other" }).name, "other");
  });

  test("refuses what is no message type, no function or no option, naming it", () => {
    const refused = (run: () => unknown, message: RegExp): void => {
      assert.throws(run, (error) => error instanceof OptionsError && message.test(error.message));
    };
    refused(() => defineHandler(undefined as never, noop), /defineHandler: message must be a message type/);
    refused(() => defineHandler([], noop), /must be a message type from defineMessage, or a list of them/);
    refused(() => defineHandler([One, null as never], noop), /or a list of them/);
    for (const pattern of ["one", "", "o*", "*.one", "a.*.b", ".*"])
      refused(() => defineHandler(pattern, noop), /or a pattern like "order/);
    refused(() => defineHandler(One, "no" as never), /handler of "one" must be a function/);
    refused(() => defineHandler(One, noop, { execution: "process" as never }), /execution must be one of thread, inline/);
    refused(() => defineHandler(One, noop, { timeoutMs: 0 }), /timeoutMs/);
    refused(() => defineHandler(One, noop, { transaction: true } as object), /did you mean "transactional"/);
  });
});

describe("the handler registry", () => {
  const make = (name: string, more: object = {}) => defineHandler(One, noop, { name, ...more });

  test("finds handlers by message, high priority first, in order of registration among equals", () => {
    const registry = new HandlerRegistry([
      make("a"),
      make("b", { priority: 5 }),
      make("c"),
      make("d", { priority: -1 }),
      defineHandler(Two, noop),
    ]);
    assert.deepEqual(
      registry.for("one").map((handler) => handler.name),
      ["b", "a", "c", "d"],
    );
    assert.equal(registry.for("two").length, 1);
    assert.deepEqual([registry.for("three"), registry.for("__proto__"), registry.for("constructor")], [[], [], []]);
    assert.equal(registry.all().length, 5);
  });

  test("finds each message's own, whichever was asked for before, and nothing of one transport for another", () => {
    const registry = new HandlerRegistry([make("a"), defineHandler(Two, noop, { name: "b", fromTransport: "x" })]);
    const names = (type: string, transport: string) => registry.for(type, { transport }).map(({ name }) => name);
    for (let round = 0; round < 2; round++)
      assert.deepEqual(
        [names("one", "x"), names("one", "y"), names("two", "x"), names("two", "y"), names("three", "x")],
        [["a"], ["a"], ["b"], [], []],
      );
  });

  test("leaves out handlers for another transport or bus", () => {
    const registry = new HandlerRegistry([make("any"), make("mail", { fromTransport: "mail" }), make("audit", { bus: "audit" })]);
    const found = (where?: object) => registry.for("one", where).map((handler) => handler.name);
    assert.deepEqual(found({ transport: "mail", bus: "audit" }), ["any", "mail", "audit"]);
    assert.deepEqual(found({ transport: "mail", bus: "main" }), ["any", "mail"]);
    assert.deepEqual(found({ transport: "main", bus: "audit" }), ["any", "audit"]);
    assert.deepEqual(found(), ["any"]);
  });

  test("refuses two handlers of one name for one message: retries could not tell them apart", () => {
    assert.throws(
      () => new HandlerRegistry([make("a"), make("a")]),
      (error) => error instanceof ConfigError && /give one a \{ name \}/.test(error.message),
    );
    assert.doesNotThrow(() => new HandlerRegistry([make("a"), defineHandler(Two, noop, { name: "a" })]));
  });

  test("finds handlers of several types, and of patterns: after the type's own, the longest first, each name once", () => {
    const [Placed, Paid, Shipped] = ["order.placed", "order.paid", "parcel.shipped"].map((name) => defineMessage(name)) as [
      typeof One,
      typeof One,
      typeof One,
    ];
    const registry = new HandlerRegistry([
      defineHandler("*", noop, { name: "audit", priority: 100 }),
      defineHandler("order.*", noop, { name: "orders" }),
      defineHandler("order.p.*", noop, { name: "never" }),
      defineHandler("order.*", noop, { name: "first of orders", priority: 1 }),
      defineHandler([Placed, Shipped], noop, { name: "both" }),
      defineHandler(Paid, noop, { name: "paid" }),
      defineHandler(Placed, noop, { name: "audit", priority: -1 }),
    ]);
    const found = (type: string, where?: object): readonly string[] => registry.for(type, where).map((handler) => handler.name);
    assert.deepEqual(found("order.placed"), ["both", "audit", "first of orders", "orders"]);
    assert.deepEqual(found("order.placed"), ["both", "audit", "first of orders", "orders"], "and the second time");
    assert.deepEqual(found("order.paid"), ["paid", "first of orders", "orders", "audit"]);
    assert.deepEqual(found("parcel.shipped"), ["both", "audit"]);
    assert.deepEqual(found("orders"), ["audit"]);
    assert.equal(registry.all().length, 7);
    assert.throws(
      () => new HandlerRegistry([defineHandler("*", noop, { name: "a" }), defineHandler("*", noop, { name: "a" })]),
      ConfigError,
    );
  });
});
