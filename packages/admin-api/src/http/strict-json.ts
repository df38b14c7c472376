import type { ValidationIssue } from "@symphony/core";
import { invalid } from "./problem.ts";

export interface JsonLimits {
  /** Nested arrays and objects. */
  readonly maxDepth: number;
  /** Keys of all objects together. */
  readonly maxKeys: number;
  /** Path of the value that is data and no instruction: any key is allowed below it. */
  readonly dataAt?: string;
}

const DANGEROUS = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Parses a JSON document of a stranger: refuses what `JSON.parse` would let pass, before it builds anything.
 *
 * Refused: duplicate keys, too many keys, nesting over the limit, NUL and lone surrogates in any text, and outside of
 * `dataAt` keys that reach for a prototype.
 *
 * @throws {HttpProblem} 400, naming the path.
 */
export function parseStrictJson(text: string, limits: JsonLimits): unknown {
  new Scan(text, limits).run();
  try {
    return JSON.parse(text);
  } catch {
    throw refuse("", "is not valid JSON");
  }
}

interface Level {
  /** Keys so far; undefined in an array. */
  readonly keys: Set<string> | undefined;
  readonly path: string;
  key: string;
}

/** One pass over the text. It trusts that strings and brackets are where they seem; whatever else is wrong, the parser finds. */
class Scan {
  readonly #text: string;
  readonly #limits: JsonLimits;
  readonly #levels: Level[] = [];
  #keys = 0;

  constructor(text: string, limits: JsonLimits) {
    this.#text = text;
    this.#limits = limits;
  }

  run(): void {
    for (let i = 0; i < this.#text.length; i++) {
      const character = this.#text[i];
      if (character === "{" || character === "[") this.#open(character === "{");
      else if (character === "}" || character === "]") this.#levels.pop();
      else if (character === '"') i = this.#string(i);
    }
  }

  #open(isObject: boolean): void {
    if (this.#levels.length >= this.#limits.maxDepth) throw refuse("", `is nested deeper than ${this.#limits.maxDepth} levels`);
    const above = this.#levels.at(-1);
    const path = above === undefined ? "" : join(above.path, above.key);
    this.#levels.push({ keys: isObject ? new Set() : undefined, path, key: isObject ? "" : "[]" });
  }

  /** @returns the place of the closing quote. */
  #string(start: number): number {
    const end = this.#closingQuote(start);
    const level = this.#levels.at(-1);
    const value = unquote(this.#text.slice(start, end + 1));
    if (value.includes("\0")) throw refuse(level?.path ?? "", "holds a NUL character, which the database cannot store");
    if (!value.isWellFormed()) throw refuse(level?.path ?? "", "holds a lone surrogate");
    if (level?.keys !== undefined && this.#isKey(end + 1)) this.#key(level, level.keys, value);
    return end;
  }

  #closingQuote(start: number): number {
    for (let end = this.#text.indexOf('"', start + 1); end >= 0; end = this.#text.indexOf('"', end + 1)) {
      let backslashes = 0;
      while (this.#text[end - 1 - backslashes] === "\\") backslashes += 1;
      if (backslashes % 2 === 0) return end;
    }
    throw refuse("", "is not valid JSON");
  }

  #key(level: Level, keys: Set<string>, key: string): void {
    this.#keys += 1;
    if (this.#keys > this.#limits.maxKeys) throw refuse("", `has more than ${this.#limits.maxKeys} keys`);
    level.key = key;
    const path = join(level.path, key);
    if (keys.has(key)) throw refuse(path, "is there twice");
    if (DANGEROUS.has(key) && !this.#isData(level.path)) throw refuse(path, "is not a known field");
    keys.add(key);
  }

  #isData(path: string): boolean {
    const { dataAt } = this.#limits;
    return dataAt !== undefined && (path === dataAt || path.startsWith(`${dataAt}.`) || path.startsWith(`${dataAt}[`));
  }

  #isKey(after: number): boolean {
    for (let i = after; i < this.#text.length; i++) {
      const character = this.#text[i];
      if (character !== " " && character !== "\n" && character !== "\t" && character !== "\r") return character === ":";
    }
    return false;
  }
}

const join = (path: string, key: string): string => (path === "" ? key : key === "[]" ? `${path}[]` : `${path}.${key}`);

function unquote(raw: string): string {
  if (!raw.includes("\\")) return raw.slice(1, -1);
  try {
    return JSON.parse(raw) as string;
  } catch {
    throw refuse("", "is not valid JSON");
  }
}

/** A client may send keys of any length. */
const LONGEST_PATH_CHARS = 200;

function refuse(path: string, what: string): Error {
  const shown = path.length > LONGEST_PATH_CHARS ? `${path.slice(0, LONGEST_PATH_CHARS)}…` : path;
  const issue: ValidationIssue = { path: shown, message: what };
  return invalid([issue], shown === "" ? `the body ${what}` : `${shown} ${what}`);
}
