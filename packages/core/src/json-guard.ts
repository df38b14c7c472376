import { MessengerError } from "./errors.ts";

/** What a message may be at most. */
export interface PayloadLimits {
  /** Bytes of the whole record as JSON. */
  readonly maxBytes: number;
  /** Nested arrays and objects. */
  readonly maxDepth: number;
}

/** 1 MiB: a row of that size still moves in one packet burst, and a batch of ten fits every default buffer. Depth: design, section 6. */
export const DEFAULT_PAYLOAD_LIMITS: PayloadLimits = Object.freeze({ maxBytes: 1_048_576, maxDepth: 64 });

/**
 * Checks that JSON carries `value` without loss and PostgreSQL's jsonb can store it.
 *
 * Refused: NUL and lone surrogates in strings and keys, functions, symbols, bigint, NaN, ±Infinity, integers beyond
 * 2^53, holes and `undefined` in arrays, and objects that are not plain (Date, Map, class instances): JSON would turn
 * them into something else without a word. `undefined` properties are left out, as JSON does; -0 becomes 0.
 *
 * @throws {MessengerError} `PAYLOAD_NOT_JSON`, `PAYLOAD_TOO_DEEP` or, when it is certain without writing it, `PAYLOAD_TOO_LARGE`; names the path.
 */
export function assertStorableJson(value: unknown, root: string, limits: PayloadLimits): void {
  const w = { ...limits, bytesLeft: limits.maxBytes };
  if (needsWalk(value, w)) walk(value, root, 0, w);
}

/**
 * Counts down while it walks, by what each value takes at least: a few shared arrays nested in each other unfold to
 * more than any machine has, and must be refused before they are written out.
 */
interface Walk extends PayloadLimits {
  bytesLeft: number;
}

// The path is built only when something is wrong: `at` strings for every field would cost more than the check itself.
function walk(value: unknown, at: string, depth: number, w: Walk): void {
  switch (typeof value) {
    case "string":
      spend(0, at, w);
      if (!isStorable(value)) throw notJson(at, value.includes("\0") ? "holds a NUL character" : "holds a lone surrogate");
      return;
    case "number":
      if (!Number.isFinite(value)) throw notJson(at, `is ${value}`);
      if (Number.isInteger(value) && !Number.isSafeInteger(value))
        throw notJson(at, `is an integer beyond 2^53 (${value}), send it as a string`);
      return;
    case "boolean":
    case "undefined":
      return;
    case "object":
      if (value === null) return;
      if (depth >= w.maxDepth) {
        throw new MessengerError("PAYLOAD_TOO_DEEP", `${cut(at)} is nested deeper than ${w.maxDepth} levels`, {
          details: { path: at, maxDepth: w.maxDepth },
        });
      }
      if (Array.isArray(value)) walkArray(value, at, depth, w);
      else walkObject(value as Record<string, unknown>, at, depth, w);
      return;
    default:
      throw notJson(at, `is a ${typeof value}`);
  }
}

function walkArray(value: readonly unknown[], at: string, depth: number, w: Walk): void {
  spend(2 * value.length, at, w);
  for (let i = 0; i < value.length; i++) {
    const item = value[i];
    if (item === undefined) throw notJson(`${at}[${i}]`, "is undefined, which JSON turns into null");
    if (needsWalk(item, w)) walk(item, `${at}[${i}]`, depth + 1, w);
  }
}

function walkObject(value: Record<string, unknown>, at: string, depth: number, w: Walk): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const name = (value.constructor as { name?: string } | undefined)?.name ?? "object";
    throw notJson(at, `is a ${name}, not a plain object${name === "Date" ? " (send toISOString())" : ""}`);
  }
  for (const key of Object.keys(value)) {
    if (!isStorable(key)) throw notJson(`${at}[${JSON.stringify(key)}]`, "has a key with a NUL character or a lone surrogate");
    const item = value[key];
    if (item === undefined) continue;
    spend(key.length + 5, at, w);
    if (needsWalk(item, w)) walk(item, `${at}.${key}`, depth + 1, w);
  }
}

/** The usual leaves are settled here, before a path string is built for them. */
function needsWalk(item: unknown, w: Walk): boolean {
  if (typeof item === "string") {
    w.bytesLeft -= item.length;
    return w.bytesLeft < 0 || !isStorable(item);
  }
  if (typeof item === "number") return !Number.isSafeInteger(item);
  return typeof item !== "boolean" && item !== null && item !== undefined;
}

function spend(bytes: number, at: string, w: Walk): void {
  w.bytesLeft -= bytes;
  if (w.bytesLeft >= 0) return;
  const text = `${cut(at)} takes the message over ${w.maxBytes} bytes as JSON: store the data elsewhere and send a reference`;
  throw new MessengerError("PAYLOAD_TOO_LARGE", text, { details: { path: at, maxBytes: w.maxBytes } });
}

const cut = (path: string): string => (path.length > 120 ? `${path.slice(0, 120)}…` : path);

const isStorable = (text: string): boolean => !text.includes("\0") && text.isWellFormed();

const notJson = (path: string, what: string): MessengerError =>
  new MessengerError("PAYLOAD_NOT_JSON", `${path} ${what}`, { details: { path } });
