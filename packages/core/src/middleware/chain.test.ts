import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Envelope } from "../envelope.ts";
import { metadata } from "../stamps.ts";
import { asPromise, compose, type Middleware, type Step } from "./chain.ts";

const envelope = Envelope.wrap({ type: "t", payload: 1 });

const named =
  (name: string, log: string[]): Middleware =>
  async (each, next) => {
    log.push(`${name} in`);
    const result = await next(each.with(metadata({ by: name })));
    log.push(`${name} out`);
    return result;
  };

describe("a chain of middleware", () => {
  test("goes in from first to last and out from last to first, handing the envelope on", async () => {
    const log: string[] = [];
    const result = await compose([named("a", log), named("b", log), named("c", log)])(envelope);
    assert.deepEqual(log, ["a in", "b in", "c in", "c out", "b out", "a out"]);
    assert.deepEqual(result.all(metadata), [{ by: "a" }, { by: "b" }, { by: "c" }]);
  });

  test("returns the envelope when there is no middleware", async () => {
    assert.equal(await compose([])(envelope), envelope);
  });

  test("ends where a middleware does not go on", async () => {
    const log: string[] = [];
    const stop: Middleware = async (each) => each;
    const result = await compose([named("a", log), stop, named("b", log)])(envelope);
    assert.equal(result.all(metadata).length, 1);
    assert.deepEqual(log, ["a in", "a out"]);
  });

  test("passes errors back through every middleware that was entered", async () => {
    const seen: unknown[] = [];
    const boom = new Error("boom");
    const watch: Middleware = async (each, next) => {
      try {
        return await next(each);
      } catch (error) {
        seen.push(error);
        throw error;
      }
    };
    const fail: Middleware = async () => {
      throw boom;
    };
    await assert.rejects(asPromise(compose([watch, watch, fail])(envelope)), (error) => error === boom);
    assert.deepEqual(seen, [boom, boom]);
  });

  test("rejects, and does not throw, when a middleware throws at once", async () => {
    const broken = (() => {
      throw new Error("not even a promise");
    }) as unknown as Middleware;
    const run = compose([broken]);
    let result: Envelope | Promise<Envelope> | undefined;
    assert.doesNotThrow(() => {
      result = run(envelope);
    });
    await assert.rejects(result as Promise<Envelope>, /not even a promise/);
  });

  test("refuses a second next, and does not run the rest twice", async () => {
    let ran = 0;
    const greedy: Middleware = async (each, next) => {
      await next(each);
      return next(each);
    };
    const last: Middleware = async (each, next) => {
      ran += 1;
      return next(each);
    };
    await assert.rejects(asPromise(compose([greedy, last])(envelope)), { code: "MIDDLEWARE_MISUSED" });
    assert.equal(ran, 1);
  });

  test("gives a middleware a promise, and those who call it nothing to wait for, when its steps wait for nothing", async () => {
    const step: Step = (each, next) => next(each.with(metadata({ by: "step" })));
    const result = compose([], [step, step])(envelope);
    assert.ok(result instanceof Envelope);
    assert.equal(result.all(metadata).length, 2);
    const follow: Middleware = (each, next) => next(each).then((after) => after.with(metadata({ by: "middleware" })));
    assert.equal((await compose([follow], [step])(envelope)).all(metadata).length, 2);
  });

  test("may run again and again, also at the same time", async () => {
    const run = compose([named("a", []), named("b", [])]);
    const results = await Promise.all(Array.from({ length: 10 }, () => run(envelope)));
    for (const result of results) assert.equal(result.all(metadata).length, 2);
  });
});
