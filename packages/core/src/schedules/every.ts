import { OptionsError } from "../errors.ts";
import type { Trigger } from "./trigger.ts";

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  s: 1_000,
  second: 1_000,
  m: 60_000,
  minute: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  w: 7 * 86_400_000,
  week: 7 * 86_400_000,
};
/** Below it, dispatching would be the main work of a fleet; above, somebody has mistaken the unit. */
const SHORTEST_MS = 100;
const LONGEST_MS = 366 * 86_400_000;

/**
 * A trigger at equal distances, whatever the clocks of a country do.
 *
 * @param interval - Milliseconds, or words: "10 minutes", "90s". 100 ms to 366 days.
 * @param from - The first due time; the others follow from it. Default: they follow from 1970, so that "10 minutes" is
 *   due at :00, :10 and so on.
 * @throws {OptionsError} naming `path`.
 */
export function everyTrigger(interval: number | string, from?: Date, path = "every"): Trigger {
  const stepMs = parseInterval(interval, path);
  const start = from?.getTime() ?? 0;
  return {
    next(after) {
      const passed = after.getTime() - start;
      if (passed < 0 && from !== undefined) return new Date(start);
      return new Date(start + (Math.floor(passed / stepMs) + 1) * stepMs);
    },
    text: `every ${inWords(stepMs)}`,
  };
}

function parseInterval(interval: unknown, path: string): number {
  const [, amount, unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(String(interval)) ?? [];
  const word = unit.toLowerCase();
  const unitMs = UNITS[word] ?? UNITS[word.replace(/s$/, "")] ?? Number.NaN;
  const ms = typeof interval === "number" ? interval : Number(amount) * unitMs;
  if (!Number.isInteger(ms) || ms < SHORTEST_MS || ms > LONGEST_MS)
    throw new OptionsError(path, interval, `must be an interval such as "10 minutes", or milliseconds, from ${SHORTEST_MS} ms to 366 days`);
  return ms;
}

function inWords(ms: number): string {
  for (const unit of ["week", "day", "hour", "minute", "second"]) {
    const size = UNITS[unit] ?? 1;
    if (ms % size === 0) return ms === size ? unit : `${ms / size} ${unit}s`;
  }
  return `${ms} ms`;
}
