import { integer, type OptionParser, OptionsError, parseQueueSelection, type QueueSelection } from "@symphony/core";

/** `a,b`, `a=3,b=1`, or a list of such (a repeated flag): queues in order, or with weights. */
export const queues: OptionParser<QueueSelection> = {
  parse: (value, path) => parseQueueSelection((Array.isArray(value) ? value : [value]).map(String).join(","), path),
};

export const processCount: OptionParser<number | "auto"> = {
  parse: (value, path) => (value === "auto" ? "auto" : integer({ min: 1, max: 256 }).parse(value, path)),
};

const UNIT_MB: Readonly<Record<string, number>> = { "": 1, K: 1 / 1024, M: 1, G: 1024 };

/** MB, as a number or with K, M or G behind it; at least 1. */
export const megabytes: OptionParser<number> = {
  parse(value, path) {
    const match = /^(\d+(?:\.\d+)?)\s*([KMG]?)B?$/i.exec(String(value).trim());
    if (match === null) throw new OptionsError(path, value, "must be a number of MB, or one with K, M or G (512M)");
    return integer({ min: 1 }).parse(Math.round(Number(match[1]) * (UNIT_MB[(match[2] ?? "").toUpperCase()] ?? 1)), path);
  },
};

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * A point in time, RFC 3339 out: RFC 3339 with zone, a date (midnight UTC), or an age such as `15m`, `2h`, `7d`.
 *
 * @param now - Milliseconds since 1970 that an age counts from.
 */
export function timeOrAge(now: number): OptionParser<string> {
  return {
    parse(value, path) {
      const text = String(value).trim();
      const age = /^(\d+)([smhdw])$/.exec(text);
      if (age !== null) return new Date(now - Number(age[1]) * (UNIT_MS[age[2] ?? ""] ?? 0)).toISOString();
      const at = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/i.test(text) ? Date.parse(text) : Number.NaN;
      if (Number.isNaN(at)) throw new OptionsError(path, value, "must be a time (2026-05-01T12:00:00Z), a date or an age (15m, 2h, 7d)");
      return new Date(at).toISOString();
    },
  };
}

/** `20`, `20/s` or `0.5/s`: a number per second. */
export const perSecond: OptionParser<number> = {
  parse(value, path) {
    const rate = /^(\d+(?:\.\d+)?)(?:\/s)?$/.exec(String(value).trim());
    const number = Number(rate?.[1]);
    if (!(number >= 0.1 && number <= 100_000)) throw new OptionsError(path, value, "must be a number per second from 0.1 to 100000 (20/s)");
    return number;
  },
};

/** `name=value` → one header. */
export function header(text: string, path: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new OptionsError(path, text, "must be name=value");
  return [text.slice(0, at), text.slice(at + 1)];
}
