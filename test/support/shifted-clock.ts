import { readFileSync } from "node:fs";

/**
 * Preloaded into a process (`--import`), it shifts the wall clock that JavaScript sees there: `Date`, and nothing else,
 * for that is where a program in Node has it from. The shift in milliseconds is read from a file again and again, so that
 * a test can let the clock step. Timers and the monotonic clock stay as they are, as with a real step; so do journals.
 */
const file = process.env.SYMPHONY_TEST_CLOCK ?? "";
/** Milliseconds between two looks at the file. */
const LOOK_MS = 20;

const RealDate = Date;
let shiftMs = 0;
let lookedAt = Number.NEGATIVE_INFINITY;

function shiftedNow(): number {
  const at = performance.now();
  if (at - lookedAt >= LOOK_MS) {
    lookedAt = at;
    shiftMs = Number(readFileSync(file, "utf8")) || 0;
  }
  return RealDate.now() + shiftMs;
}

globalThis.Date = new Proxy(RealDate, {
  apply: () => new RealDate(shiftedNow()).toString(),
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [shiftedNow()] : args, newTarget) as object,
  get: (target, key, receiver) => (key === "now" ? shiftedNow : (Reflect.get(target, key, receiver) as unknown)),
});
