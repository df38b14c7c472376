import { OptionsError } from "./errors.ts";

/**
 * Options are parsed once, at the edge, by the schemas below: unknown keys are errors that name the nearest known one,
 * defaults are written in one place, and what comes out is frozen.
 */
export interface OptionParser<T> {
  parse(value: unknown, path: string): T;
  readonly isOptional?: boolean;
}

type Shape = Readonly<Record<string, OptionParser<unknown>>>;
type OptionalKeys<S extends Shape> = { [K in keyof S]: undefined extends ReturnType<S[K]["parse"]> ? K : never }[keyof S];
export type Parsed<S extends Shape> = { readonly [K in Exclude<keyof S, OptionalKeys<S>>]: ReturnType<S[K]["parse"]> } & {
  readonly [K in OptionalKeys<S>]?: Exclude<ReturnType<S[K]["parse"]>, undefined>;
};

export interface ObjectParser<S extends Shape> extends OptionParser<Parsed<S>> {
  readonly shape: S;
}

export function object<const S extends Shape>(shape: S): ObjectParser<S> {
  return {
    shape,
    parse(value, path) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) throw new OptionsError(path, value, "must be an object");
      const given = value as Record<string, unknown>;
      for (const key of Object.keys(given)) if (!Object.hasOwn(shape, key)) throw unknownKey(path, key, Object.keys(shape));
      const result: Record<string, unknown> = {};
      for (const [key, parser] of Object.entries(shape)) {
        const parsed = parser.parse(given[key], path === "" ? key : `${path}.${key}`);
        if (parsed !== undefined) result[key] = parsed;
      }
      return Object.freeze(result) as Parsed<S>;
    },
  };
}

/**
 * Parses `input` or throws.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`; `path` names the field.
 */
export function parseOptions<S extends Shape>(schema: ObjectParser<S>, input: unknown, path = ""): Parsed<S> {
  return schema.parse(input ?? {}, path);
}

export function optional<T>(inner: OptionParser<T>): OptionParser<T | undefined> {
  return { isOptional: true, parse: (value, path) => (value === undefined ? undefined : inner.parse(value, path)) };
}

/** A number, integer or not, within bounds; also from a numeric string, since values come from the environment too. */
export function number(o: { min?: number; max?: number; default?: number; integer?: boolean } = {}): OptionParser<number> {
  return {
    parse(value, path) {
      const given = value === undefined ? o.default : value;
      const n = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
      const kind = o.integer === true ? "an integer" : "a number";
      if (typeof n !== "number" || !Number.isFinite(n) || (o.integer === true && !Number.isSafeInteger(n)))
        throw new OptionsError(path, value, `must be ${kind}${bounds(o)}`);
      if ((o.min !== undefined && n < o.min) || (o.max !== undefined && n > o.max))
        throw new OptionsError(path, value, `must be ${kind}${bounds(o)}`);
      return n;
    },
  };
}

export const integer = (o: { min?: number; max?: number; default?: number } = {}): OptionParser<number> => number({ ...o, integer: true });

export function string(o: { pattern?: RegExp; default?: string } = {}): OptionParser<string> {
  return {
    parse(value, path) {
      const given = value === undefined ? o.default : value;
      if (typeof given !== "string") throw new OptionsError(path, value, "must be a string");
      if (o.pattern !== undefined && !o.pattern.test(given)) throw new OptionsError(path, value, `must match ${o.pattern.source}`);
      return given;
    },
  };
}

export function boolean(o: { default?: boolean } = {}): OptionParser<boolean> {
  return {
    parse(value, path) {
      const given = value === undefined ? o.default : value;
      if (given === "true" || given === true) return true;
      if (given === "false" || given === false) return false;
      throw new OptionsError(path, value, "must be true or false");
    },
  };
}

export function oneOf<const T extends string>(values: readonly T[], o: { default?: T } = {}): OptionParser<T> {
  return {
    parse(value, path) {
      const given = value === undefined ? o.default : value;
      if (!values.includes(given as T)) throw new OptionsError(path, value, `must be one of ${values.join(", ")}`);
      return given as T;
    },
  };
}

export function listOf<T>(inner: OptionParser<T>, o: { default?: readonly T[] } = {}): OptionParser<readonly T[]> {
  return {
    parse(value, path) {
      const given = value === undefined ? o.default : value;
      if (!Array.isArray(given)) throw new OptionsError(path, value, "must be an array");
      return Object.freeze(given.map((item, i) => inner.parse(item, `${path}[${i}]`)));
    },
  };
}

export function record<T>(
  inner: OptionParser<T>,
  o: { default?: Readonly<Record<string, T>> } = {},
): OptionParser<Readonly<Record<string, T>>> {
  return {
    parse(value, path) {
      const given = value === undefined ? o.default : value;
      if (typeof given !== "object" || given === null || Array.isArray(given)) throw new OptionsError(path, value, "must be an object");
      return Object.freeze(Object.fromEntries(Object.entries(given).map(([key, item]) => [key, inner.parse(item, `${path}.${key}`)])));
    },
  };
}

/** Any function; its own types are checked by the compiler. */
export function func<F extends (...args: never[]) => unknown = (...args: never[]) => unknown>(): OptionParser<F> {
  return {
    parse(value, path) {
      if (typeof value !== "function") throw new OptionsError(path, value, "must be a function");
      return value as F;
    },
  };
}

/** A value that only its owner can judge; passed on as it is. */
export function anything<T>(): OptionParser<T> {
  return { parse: (value) => value as T };
}

function bounds(o: { min?: number; max?: number }): string {
  if (o.min !== undefined && o.max !== undefined) return ` from ${o.min} to ${o.max}`;
  if (o.min !== undefined) return `, at least ${o.min}`;
  return o.max !== undefined ? `, at most ${o.max}` : "";
}

export function unknownKey(path: string, key: string, known: readonly string[]): OptionsError {
  const near = nearest(key, known);
  const where = path === "" ? key : `${path}.${key}`;
  const hint = near === undefined ? `known: ${known.join(", ")}` : `did you mean "${near}"?`;
  return OptionsError.unknown(where, hint);
}

/** The known word with the fewest edits from `word`, if it is near enough to be a slip of the pen. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
