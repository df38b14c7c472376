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
});
