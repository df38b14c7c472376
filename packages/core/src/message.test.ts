import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { ConfigError, OptionsError } from "./errors.ts";
import { defineMessage, isRetryStrategy, MessageRegistry, NAME_PATTERN, parseRetry } from "./message.ts";
import { multiplierRetry } from "./retry/multiplier.ts";

const refused = (run: () => unknown, path: string): void => {
  assert.throws(run, (error) => error instanceof OptionsError && error.path === path);
};

describe("a message type", () => {
  test("has a default for everything but its name", () => {
    const { name, version, aliases, upcast, queue, priority, timeoutMs, retry } = defineMessage("image.resize");
    assert.deepEqual([name, version, aliases, upcast, queue, priority], ["image.resize", 1, [], {}, "default", 5]);
    assert.deepEqual([timeoutMs, retry], [undefined, undefined]);
  });

  test("keeps what it was given, frozen", () => {
    const schema = z.object({ url: z.string() });
    const upcast = { 1: (payload: unknown) => payload };
    const type = defineMessage("t", {
      schema,
      version: 2,
      aliases: ["old.t"],
      upcast,
      queue: "images",
      priority: 9,
      timeoutMs: 60_000,
      retry: { maxRetries: 1 },
    });
    assert.equal(type.schema, schema);
    assert.equal(type.upcast[1], upcast[1]);
    assert.deepEqual(
      [type.version, type.aliases, type.queue, type.priority, type.timeoutMs, type.retry],
      [2, ["old.t"], "images", 9, 60_000, { maxRetries: 1 }],
    );
    assert.ok(Object.isFrozen(type) && Object.isFrozen(type.aliases) && Object.isFrozen(type.retry));
  });

  test("has a wire name that is safe in URLs, labels and queue names", () => {
    for (const name of ["a", "A1", "image.resize", "a_b-c.d", "x".repeat(63), "0"]) defineMessage(name);
    for (const name of ["", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", "x".repeat(64), "a:b"])
      refused(() => defineMessage(name), "message name");
    refused(() => defineMessage(undefined as unknown as string), "message name");
    assert.ok(!NAME_PATTERN.test("__proto__"));
  });

  test("refuses options out of range, naming the field", () => {
    const at = (field: string): string => `message "t".${field}`;
    refused(() => defineMessage("t", { priority: 11 }), at("priority"));
    refused(() => defineMessage("t", { priority: 0 }), at("priority"));
    refused(() => defineMessage("t", { queue: "a b" }), at("queue"));
    refused(() => defineMessage("t", { aliases: ["a b"] }), at("aliases[0]"));
    refused(() => defineMessage("t", { version: 0 }), at("version"));
    refused(() => defineMessage("t", { timeoutMs: -1 }), at("timeoutMs"));
    refused(() => defineMessage("t", { retry: { jitter: 2 } }), at("retry.jitter"));
    refused(() => defineMessage("t", { retry: { multiplier: 0.5 } }), at("retry.multiplier"));
    refused(() => defineMessage("t", { schema: {} as never }), at("schema"));
    refused(() => defineMessage("t", { schema: null as never }), at("schema"));
    assert.throws(() => defineMessage("t", { prioriy: 1 } as object), /did you mean "priority"/);
  });

  test("takes upcasters only from versions before its own", () => {
    const up = (payload: unknown): unknown => payload;
    defineMessage("t", { version: 3, upcast: { 1: up, 2: up } });
    for (const from of [0, 3, 4, 1.5]) {
      refused(() => defineMessage("t", { version: 3, upcast: { [from]: up } }), `message "t".upcast.${from}`);
    }
    refused(() => defineMessage("t", { version: 2, upcast: { 1: "no" as never } }), 'message "t".upcast.1');
  });

  test("takes numbers for a retry strategy, or a strategy as it is", () => {
    const strategy = multiplierRetry();
    assert.equal(parseRetry(strategy, "retry"), strategy);
    assert.deepEqual(parseRetry({ maxRetries: 0, delayMs: 0 }, "retry"), { maxRetries: 0, delayMs: 0 });
    assert.deepEqual([isRetryStrategy(strategy), isRetryStrategy({}), isRetryStrategy(null)], [true, false, false]);
  });
});

describe("the message registry", () => {
  const one = defineMessage("one", { aliases: ["uno", "eins"] });
  const two = defineMessage("two");

  test("finds types by name and by alias", () => {
    const registry = new MessageRegistry([one, two, one]);
    assert.deepEqual([registry.get("one"), registry.get("uno"), registry.get("eins"), registry.get("two")], [one, one, one, two]);
    assert.equal(registry.get("three"), undefined);
    assert.equal(registry.get("__proto__"), undefined);
    assert.deepEqual(registry.all(), [one, two]);
  });

  test("refuses two types for one wire name, saying what to do", () => {
    for (const rival of [defineMessage("one"), defineMessage("uno"), defineMessage("three", { aliases: ["two"] })]) {
      assert.throws(
        () => new MessageRegistry([one, two, rival]),
        (error) => error instanceof ConfigError && /rename one or drop the alias/.test(error.message),
      );
    }
  });
});
