import fc from "fast-check";
import type { Operation, Schema } from "./document.ts";

/** What a client may send, made from what the document says of it: right, nearly right, and wrong. */

export interface Generated {
  readonly operation: Operation;
  readonly path: string;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Names and ids that mean something on the server, so that more than refusals comes back. */
export interface Known {
  readonly ids: readonly string[];
  readonly queues: readonly string[];
  readonly types: readonly string[];
}

const NAUGHTY: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  "",
  " ",
  "null",
  "../..",
  "a\u0000b",
  "\ud800",
  "\u202e\u2028",
  "x".repeat(5_000),
  "'; DROP TABLE x; --",
  "%00",
  "__proto__",
  "2026-02-30T25:61:00Z",
  [],
  {},
  [[]],
  { __proto__: null, constructor: 1 },
];
const naughty = fc.constantFrom(...NAUGHTY);

/** A value that fits the schema, mostly. */
function fitting(schema: Schema, known: Known): fc.Arbitrary<unknown> {
  const { enum: options, const: only, anyOf, type } = schema as { enum?: unknown[]; const?: unknown; anyOf?: Schema[]; type?: string };
  if (only !== undefined) return fc.constant(only);
  if (options !== undefined) return fc.constantFrom(...options);
  if (anyOf !== undefined) return fc.oneof(...anyOf.map((each) => fitting(each, known)));
  switch (type) {
    case "object":
      return objectOf(schema, known);
    case "array":
      return fc.array(fitting((schema.items as Schema) ?? {}, known), { maxLength: 5 });
    case "integer":
    case "number":
      return fc.integer({
        min: Math.ceil(bound(schema.minimum, 0)),
        max: Math.max(Math.ceil(bound(schema.minimum, 0)), Math.min(bound(schema.maximum, 100), 3_000)),
      });
    case "boolean":
      return fc.boolean();
    case "string":
      return textOf(schema, known);
    default:
      return fc.jsonValue({ maxDepth: 4 });
  }
}

const bound = (value: unknown, otherwise: number): number => (typeof value === "number" ? value : otherwise);

function objectOf(schema: Schema, known: Known): fc.Arbitrary<unknown> {
  const properties = (schema.properties ?? {}) as Readonly<Record<string, Schema>>;
  const shape = Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, named(name, each, known)]));
  const required = ((schema.required as string[] | undefined) ?? []).filter((name) => name in shape);
  if (Object.keys(shape).length > 0) return fc.record(shape, { requiredKeys: required });
  return fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 20 }), { maxKeys: 4 });
}

/** Some fields are found by what they are called: a random type would only ever be unknown. */
function named(name: string, schema: Schema, known: Known): fc.Arbitrary<unknown> {
  const right = fitting(schema, known);
  if (name === "type") return fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known.types) }, right);
  if (name === "queue" || name === "name" || name === "confirm")
    return fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known.queues) }, right);
  if (name === "transport") return fc.oneof({ weight: 4, arbitrary: fc.constant("default") }, right);
  if (name === "id") return fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known.ids) }, right);
  // Few, so that requests meet the keys of others, and their own.
  if (name === "Idempotency-Key") return fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 1, max: 60 }).map((n) => `key-${n}`) }, right);
  if (name === "X-Symphony-Timestamp")
    return fc.oneof({ weight: 4, arbitrary: fc.constant(String(Math.floor(Date.now() / 1_000))) }, right);
  // Nobody waits a minute for each of ten thousand.
  if (name === "timeLimit") return fc.integer({ min: 1_000, max: 1_200 });
  return right;
}

function textOf(schema: Schema, known: Known): fc.Arbitrary<string> {
  const { format, pattern, maxLength } = schema as { format?: string; pattern?: string; maxLength?: number };
  if (format === "uuid" || format === "guid") return fc.oneof(fc.constantFrom(...known.ids), fc.uuid());
  if (format === "date-time")
    return fc.date({ min: new Date("2000-01-01"), max: new Date("2100-01-01"), noInvalidDate: true }).map((date) => date.toISOString());
  if (pattern !== undefined) {
    try {
      return fc.stringMatching(new RegExp(pattern));
    } catch {
      // Of a kind that the generator does not know, such as a property of Unicode.
    }
  }
  return fc.string({ minLength: 1, maxLength: Math.min(maxLength ?? 40, 300), unit: "grapheme" });
}

/** One request to one operation: fitting, with something wrong in one place, or nonsense. */
export function requestTo(operation: Operation, known: Known): fc.Arbitrary<Generated> {
  const parameters = fc.tuple(
    ...operation.parameters.map((parameter) =>
      fc.record({
        value: fc.oneof({ weight: 6, arbitrary: named(parameter.name, parameter.schema, known) }, { weight: 1, arbitrary: naughty }),
        isThere: parameter.in === "path" ? fc.constant(true) : fc.boolean(),
      }),
    ),
  );
  const extra = fc.oneof(
    { weight: 12, arbitrary: fc.constant("") },
    fc.constantFrom("unknown=1", "limit=1&limit=2", "%zz", "__proto__=1", "=", "&&"),
  );
  return fc.tuple(parameters, extra, bodyFor(operation, known)).map(([values, more, body]) => {
    let path = operation.path;
    const query: string[] = more === "" ? [] : [more];
    const headers: Record<string, string> = {};
    for (const [i, { name, in: place }] of operation.parameters.entries()) {
      const given = values[i];
      if (given === undefined || !given.isThere) continue;
      const text = encode(typeof given.value === "string" ? given.value : (JSON.stringify(given.value) ?? ""));
      if (place === "path") path = path.replace(`{${name}}`, text === "" ? "%20" : text);
      else if (place === "query") query.push(`${name}=${text}`);
      else if (typeof given.value === "string" && /^[\x20-\x7e]+$/.test(given.value)) headers[name] = given.value;
    }
    if (body !== undefined) headers["content-type"] = "application/json";
    return { operation, path: query.length === 0 ? path : `${path}?${query.join("&")}`, body, headers };
  });
}

const encode = (text: string): string =>
  encodeURIComponent(text.toWellFormed())
    .slice(0, 1_500)
    .replace(/%[^%]?$/, "");

function bodyFor({ body, method }: Operation, known: Known): fc.Arbitrary<string | undefined> {
  const nonsense = fc.constantFrom("", "{", "[]", "null", '"x"', "{}{}", '{"a":1,"a":2}', "[".repeat(200), "\u0000");
  // Clients of the platform send no body with GET.
  if (method === "GET") return fc.constant(undefined);
  if (body === undefined) return fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, fc.constant("{}"));
  const right = fitting(body.schema, known);
  const spoilt = fc.tuple(right, fc.nat(), naughty).map(([value, where, bad]) => spoil(value, where, bad));
  const json = (each: fc.Arbitrary<unknown>): fc.Arbitrary<string> => each.map((value) => JSON.stringify(value) ?? "null");
  return fc.oneof(
    { weight: 5, arbitrary: json(right) },
    { weight: 4, arbitrary: json(spoilt) },
    { weight: 1, arbitrary: nonsense },
    ...(body.required ? [] : [{ weight: 1, arbitrary: fc.constant(undefined) }]),
  );
}

/** Replaces one field, wherever it lies, or adds one that nobody knows. */
function spoil(value: unknown, where: number, bad: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return bad;
  const entries = Object.entries(value);
  const at = where % (entries.length + 1);
  const chosen = entries[at];
  if (chosen === undefined) return { ...value, unknown: bad };
  const [key, inner] = chosen;
  const deeper = typeof inner === "object" && inner !== null && where % 2 === 1;
  return { ...value, [key]: deeper ? spoil(inner, where >> 3, bad) : bad };
}
