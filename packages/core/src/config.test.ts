import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DEFAULT_TIMEOUT_MS, defineConfig, parseConfig } from "./config.ts";
import { OptionsError } from "./errors.ts";
import { defineHandler } from "./handlers.ts";
import { defineMessage } from "./message.ts";
import { createMessenger } from "./messenger.ts";

const One = defineMessage("one");
const Two = defineMessage("two");
const handler = defineHandler(One, () => {});
const transports = { main: { dsn: "memory:" } };

const refused = (config: unknown, path: string | RegExp): void => {
  assert.throws(
    () => parseConfig(config),
    (error) => error instanceof OptionsError && (typeof path === "string" ? error.path === path : path.test(error.message)),
    String(path),
  );
};

describe("a configuration", () => {
  test("needs a transport and nothing else", () => {
    const parsed = parseConfig(defineConfig({ transports }));
    assert.deepEqual(parsed.transports, { main: { dsn: "memory:", options: {} } });
    assert.deepEqual([parsed.handlers, parsed.messages, parsed.middleware, parsed.queues, parsed.worker], [[], [], [], [], {}]);
    assert.equal(parsed.defaults.timeoutMs, DEFAULT_TIMEOUT_MS);
    assert.ok(Object.isFrozen(parsed));
  });

  test("takes retries as numbers, strategies and functions, per transport and queue", async () => {
    const strategy = { maxRetries: 1, isRetryable: () => true, getDelayMs: () => 7 };
    const retry = { retry: () => 5 as const, queueRetry: { slow: { maxRetries: 9 }, own: strategy, called: () => 6 } };
    const types = [defineMessage("plain"), defineMessage("special", { retry: { maxRetries: 2 } })];
    const messenger = await createMessenger({ transports: { main: { dsn: "memory:", ...retry } }, messages: types });
    const failed = { attempt: 1, type: "plain", queue: "slow", error: { name: "Error", message: "no" } };
    const delayMs = (queue?: string) => messenger.retryStrategy("plain", "main", queue).getDelayMs(failed, () => 0.5);
    assert.deepEqual([delayMs(), delayMs("default"), delayMs("own"), delayMs("called"), delayMs("__proto__")], [5, 5, 7, 6, 5]);
    const retries = (type: string, queue: string) => messenger.retryStrategy(type, "main", queue).maxRetries;
    assert.deepEqual([retries("plain", "slow"), retries("special", "slow"), retries("special", "default")], [9, 2, 2]);
    assert.equal(messenger.retryStrategy("plain", "other", "slow").maxRetries, 3);
    refused(
      { transports: { main: { dsn: "memory:", queueRetry: { slow: { maxRetires: 9 } } } } },
      "config.transports.main.queueRetry.slow.maxRetires",
    );
    await messenger.close();
  });

  test("routes everything to the only transport, or to the one called default", () => {
    assert.deepEqual(parseConfig({ transports }).routing, { "*": ["main"] });
    const two = { default: { dsn: "memory:" }, other: { dsn: "memory:" } };
    assert.deepEqual(parseConfig({ transports: two }).routing, { "*": ["default"] });
    assert.deepEqual(parseConfig({ transports: { a: two.other, b: two.other } }).routing, {});
  });

  test("keeps the routes that it was given, one transport or several", () => {
    const two = { a: { dsn: "memory:" }, b: { dsn: "memory:" } };
    const routing = { "image.*": "a", "*": ["a", "b"] };
    assert.deepEqual(parseConfig({ transports: two, routing }).routing, { "image.*": ["a"], "*": ["a", "b"] });
  });

  test("knows the message types of its handlers beside those it lists, each once", () => {
    assert.deepEqual(parseConfig({ transports, handlers: [handler], messages: [Two, One] }).messages, [Two, One]);
  });

  test("takes the worker's numbers from strings too, and checks their range", () => {
    const worker = { batchSize: "20", processes: "auto", queues: ["a", "b"] } as never;
    assert.deepEqual(parseConfig({ transports, worker }).worker, { batchSize: 20, processes: "auto", queues: ["a", "b"] });
    assert.equal(parseConfig({ transports, worker: { processes: "4" as never } }).worker.processes, 4);
    refused({ transports, worker: { processes: "many" } }, "config.worker.processes");
    refused({ transports, worker: { batchSize: 0 } }, "config.worker.batchSize");
    refused({ transports, worker: { batchsize: 1 } }, /did you mean "batchSize"/);
  });

  test("refuses what does not fit together, naming the field", () => {
    refused(undefined, "config.transports");
    refused({}, "config.transports");
    refused({ transports: {} }, "config.transports");
    refused({ transports: { main: {} } }, "config.transports.main.dsn");
    refused({ transports: { main: { dsn: "memory:", retry: { maxRetries: -1 } } } }, "config.transports.main.retry.maxRetries");
    refused({ transports: { "a b": { dsn: "memory:" } } }, "config.transports.a b");
    refused({ transports, routing: { "*": "mian" } }, 'config.routing["*"]');
    refused({ transports, routing: { "*": ["main", "other"] } }, /must name a configured transport \(main\), got "other"/);
    refused({ transports, routing: { "*": [] } }, "config.routing.*");
    refused({ transports, handlers: [() => 1] }, "config.handlers[0]");
    refused({ transports, messages: ["one"] }, "config.messages[0]");
    refused({ transports, messages: [null] }, "config.messages[0]");
    refused({ transports, queues: ["a b"] }, "config.queues[0]");
    refused({ transports, defaults: { timeoutMs: 0 } }, "config.defaults.timeoutMs");
    refused({ transport: transports }, /did you mean "transports"/);
  });

  test("gives each transport its failure transport, the shared one or its own, and that one none", () => {
    const of = (failureTransport: string | undefined, own: Record<string, string> = {}): Record<string, string | undefined> => {
      const all = ["a", "b", "dead", "sync"].map((name) => [
        name,
        { dsn: name === "sync" ? "sync:" : "memory:", ...(own[name] === undefined ? {} : { failureTransport: own[name] }) },
      ]);
      const parsed = parseConfig({ transports: Object.fromEntries(all), ...(failureTransport === undefined ? {} : { failureTransport }) });
      return Object.fromEntries(Object.entries(parsed.transports).map(([name, each]) => [name, each.failureTransport]));
    };
    const none = { a: undefined, b: undefined, dead: undefined, sync: undefined };
    assert.deepEqual(of(undefined), none);
    assert.deepEqual(of("dead"), { ...none, a: "dead", b: "dead" });
    assert.deepEqual(of(undefined, { b: "dead" }), { ...none, b: "dead" });
    assert.deepEqual(of("dead", { b: "b" }), { ...none, a: "dead" });
    assert.throws(() => of("nowhere"), /config\.failureTransport must name a configured transport .*got "nowhere"/);
    assert.throws(
      () => of(undefined, { a: "sync" }),
      /config\.transports\.a\.failureTransport must name a configured transport that keeps messages/,
    );
    assert.throws(() => of(undefined, { a: "b", b: "dead" }), /"b" has the failure transport "dead"/);
  });

  // F70 in the list of faults.
  test("does not find transports and routes in Object's own properties", () => {
    refused({ transports, routing: { "*": "constructor" } }, 'config.routing["*"]');
    refused({ transports: JSON.parse('{"__proto__":{"dsn":"memory:"}}') }, /__proto__/);
  });
});
