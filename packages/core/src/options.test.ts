import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { OptionsError } from "./errors.ts";
import {
  anything,
  boolean,
  func,
  integer,
  listOf,
  nearest,
  number,
  object,
  oneOf,
  optional,
  parseOptions,
  record,
  string,
} from "./options.ts";

const schema = object({
  batchSize: integer({ min: 1, max: 100, default: 10 }),
  ratio: optional(number({ min: 0, max: 1 })),
  name: string({ default: "main", pattern: /^[a-z]+$/ }),
  verbose: boolean({ default: false }),
  mode: oneOf(["fast", "safe"], { default: "safe" }),
  queues: listOf(string(), { default: [] }),
  limits: optional(object({ timeoutMs: integer({ default: 5 }) })),
  labels: record(string(), { default: {} }),
  hook: optional(func()),
  extra: optional(anything<unknown>()),
});

const DEFAULTS = { batchSize: 10, name: "main", verbose: false, mode: "safe", queues: [], labels: {} };

function refusal(input: unknown): OptionsError {
  try {
    parseOptions(schema, input, "worker");
  } catch (error) {
    assert.ok(error instanceof OptionsError);
    assert.equal(error.code, "OPTIONS_INVALID");
    return error;
  }
  return assert.fail("it was not refused");
}

describe("parsing options", () => {
  test("fills in defaults, and leaves out what is optional and absent", () => {
    assert.deepEqual(parseOptions(schema, {}), DEFAULTS);
    assert.deepEqual(parseOptions(schema, undefined), DEFAULTS);
    assert.deepEqual(parseOptions(schema, { limits: {}, ratio: undefined }), { ...DEFAULTS, limits: { timeoutMs: 5 } });
  });

  test("keeps 0, false and the empty string: a default is for what is absent", () => {
    const falsy = object({ n: integer({ default: 7 }), b: boolean({ default: true }), s: string({ default: "x" }) });
    assert.deepEqual(parseOptions(falsy, { n: 0, b: false, s: "" }), { n: 0, b: false, s: "" });
  });

  test("gives frozen results, also inside", () => {
    const parsed = parseOptions(schema, { queues: ["a"], limits: {}, labels: { a: "b" } });
    for (const each of [parsed, parsed.queues, parsed.limits, parsed.labels]) assert.ok(Object.isFrozen(each));
  });

  test("names the field that is wrong and what it got", () => {
    const cases: [unknown, string, RegExp][] = [
      [{ batchSize: 0 }, "worker.batchSize", /must be an integer from 1 to 100, got 0/],
      [{ batchSize: 1.5 }, "worker.batchSize", /integer/],
      [{ batchSize: "many" }, "worker.batchSize", /got "many"/],
      [{ batchSize: "" }, "worker.batchSize", /integer/],
      [{ batchSize: null }, "worker.batchSize", /got null/],
      [{ ratio: Number.NaN }, "worker.ratio", /a number/],
      [{ ratio: 1.1 }, "worker.ratio", /from 0 to 1/],
      [{ name: "A1" }, "worker.name", /must match/],
      [{ name: 5 }, "worker.name", /must be a string/],
      [{ verbose: "yes" }, "worker.verbose", /true or false/],
      [{ mode: "slow" }, "worker.mode", /one of fast, safe, got "slow"/],
      [{ queues: "a" }, "worker.queues", /must be an array/],
      [{ queues: ["a", 1] }, "worker.queues[1]", /must be a string/],
      [{ limits: { timeoutMs: {} } }, "worker.limits.timeoutMs", /got an object/],
      [{ limits: [] }, "worker.limits", /must be an object, got an array/],
      [{ labels: { a: 1 } }, "worker.labels.a", /must be a string/],
      [{ hook: "run" }, "worker.hook", /must be a function/],
      [5, "worker", /must be an object, got 5/],
    ];
    for (const [input, path, message] of cases) {
      const error = refusal(input);
      assert.equal(error.path, path);
      assert.equal(error.details.path, path);
      assert.match(error.message, message);
    }
  });

  test("takes numbers and booleans from the environment's strings", () => {
    const parsed = parseOptions(schema, { batchSize: "20", ratio: "0.5", verbose: "true" });
    assert.deepEqual([parsed.batchSize, parsed.ratio, parsed.verbose], [20, 0.5, true]);
  });

  test("refuses an unknown key and names the nearest known one", () => {
    assert.match(refusal({ batchsize: 1 }).message, /^worker\.batchsize is not an option; did you mean "batchSize"\?$/);
    assert.match(refusal({ quues: [] }).message, /did you mean "queues"\?/);
    assert.match(refusal({ limits: { timeout: 1 } }).message, /^worker\.limits\.timeout .*did you mean "timeoutMs"\?/);
    assert.match(refusal({ colour: 1 }).message, /known: batchSize, ratio, name/);
    assert.equal(refusal({ batchsize: 1 }).path, "worker.batchsize");
  });

  test("suggests the right key for every slip of one letter", () => {
    const known = ["batchSize", "maxConcurrency", "pollInterval", "messageLimit", "shutdownTimeout"];
    const slip = fc.tuple(fc.constantFrom(...known), fc.nat(), fc.constantFrom("x", ""), fc.boolean());
    fc.assert(
      fc.property(slip, ([word, place, letter, insert]) => {
        const at = place % word.length;
        const slipped = word.slice(0, at) + letter + word.slice(insert && letter !== "" ? at : at + 1);
        assert.equal(nearest(slipped, known), word);
      }),
    );
  });

  test("suggests nothing that is far away", () => {
    assert.equal(nearest("zzzzzz", ["batchSize", "queues"]), undefined);
    assert.equal(nearest("a", []), undefined);
  });

  // F70 in the list of faults.
  test("takes names of Object's own properties for unknown keys, not for known ones", () => {
    for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      assert.equal(refusal(JSON.parse(`{"${key}":{"batchSize":5}}`)).path, `worker.${key}`);
    }
    const labels = parseOptions(schema, { labels: JSON.parse('{"__proto__":"a","constructor":"b"}') }).labels;
    assert.deepEqual(Object.keys(labels), ["__proto__", "constructor"]);
    assert.equal(({} as { batchSize?: number }).batchSize, undefined);
  });

  test("says the same of any input twice, and nothing but OptionsError", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(schema.shape), "odd"), fc.anything()), (input) => {
        const attempt = (): unknown => {
          try {
            return parseOptions(schema, input);
          } catch (error) {
            assert.ok(error instanceof OptionsError, String(error));
            return error.message;
          }
        };
        assert.deepEqual(attempt(), attempt());
      }),
    );
  });
});
