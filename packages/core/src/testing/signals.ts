import { systemClock } from "../clock.ts";

export interface Signals<Points extends Record<string, unknown>> {
  /** Says that a point was reached. */
  emit<Name extends keyof Points & string>(name: Name, ...value: Points[Name] extends undefined ? [] : [Points[Name]]): void;
  /**
   * Resolves with the next signal of this name that nobody has awaited yet, also one that came before the call: a test
   * cannot miss one. Concurrent calls get one signal each, in order.
   *
   * @param options.timeoutMs - Milliseconds of real time. Default 10000.
   * @throws {Error} when it does not come in time, naming the signal and what came instead.
   */
  next<Name extends keyof Points & string>(name: Name, options?: { timeoutMs?: number }): Promise<Points[Name]>;
  /** How often the point was reached, awaited or not. */
  count(name: keyof Points & string): number;
}

interface Point {
  count: number;
  readonly values: unknown[];
  readonly waiting: ((value: unknown) => void)[];
}

/**
 * Named points that code under test passes and tests await, instead of sleeping.
 *
 * @example
 * const signals = createSignals<{ settled: string }>();
 * worker.on("message_processed", ({ messageId }) => signals.emit("settled", messageId));
 * assert.equal(await signals.next("settled", { timeoutMs: 5_000 }), id);
 */
export function createSignals<Points extends Record<string, unknown> = Record<string, unknown>>(): Signals<Points> {
  const points = new Map<string, Point>();
  const pointOf = (name: string): Point => {
    const point = points.get(name) ?? { count: 0, values: [], waiting: [] };
    points.set(name, point);
    return point;
  };
  return {
    emit(name, ...[value]) {
      const point = pointOf(name);
      point.count += 1;
      const waiting = point.waiting.shift();
      if (waiting === undefined) point.values.push(value);
      else waiting(value);
    },
    next<Name extends keyof Points & string>(name: Name, { timeoutMs = 10_000 } = {}) {
      const point = pointOf(name);
      if (point.values.length > 0) return Promise.resolve(point.values.shift() as Points[Name]);
      return new Promise<Points[Name]>((resolve, reject) => {
        const waiting = (value: unknown): void => {
          timer.cancel();
          resolve(value as Points[Name]);
        };
        const timer = systemClock.schedule(timeoutMs, () => {
          point.waiting.splice(point.waiting.indexOf(waiting), 1);
          const others = [...points].filter(([, other]) => other.count > 0).map(([other, { count }]) => `${other} (${count})`);
          reject(new Error(`no "${name}" within ${timeoutMs} ms; seen so far: ${others.join(", ") || "nothing"}`));
        });
        point.waiting.push(waiting);
      });
    },
    count: (name) => points.get(name)?.count ?? 0,
  };
}
