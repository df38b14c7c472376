/** As much of a JSON Schema as the document of this API has. */
export interface JsonSchema {
  /** Of several, one and null, `withoutNull` leaves the one. */
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
}

const isNull = ({ type }: JsonSchema): boolean => type === "null";

/** The schema without null, and whether null was allowed. */
export function withoutNull(schema: JsonSchema): { readonly schema: JsonSchema; readonly isNullable: boolean } {
  const { type, ...rest } = schema as { readonly type?: unknown };
  if (Array.isArray(type))
    return { schema: { ...rest, type: String(type.find((each) => each !== "null")) }, isNullable: type.includes("null") };
  const choices = schema.anyOf ?? schema.oneOf ?? [];
  const [only, ...others] = choices.filter((each) => !isNull(each));
  if (only === undefined || others.length > 0 || !choices.some(isNull)) return { schema, isNullable: false };
  return { schema: { ...only, ...(schema.description === undefined ? {} : { description: schema.description }) }, isNullable: true };
}

const FORMATS: Readonly<Record<string, string>> = { "date-time": "time (RFC 3339)", uuid: "UUID", guid: "UUID" };

const range = (least: number | undefined, most: number | undefined, unit = ""): string => {
  // What no number of JSON can exceed is no limit.
  const [from, to] = [least, most].map((each) => (each === undefined || Math.abs(each) >= Number.MAX_SAFE_INTEGER ? undefined : each));
  if (from !== undefined && to !== undefined) return ` ${from} to ${to}${unit}`;
  if (to !== undefined) return ` up to ${to}${unit}`;
  return from === undefined || (from === 0 && unit !== "") ? "" : ` from ${from}${unit}`;
};

/** What a value must be, in words. */
export function inWords(given: JsonSchema): string {
  const { schema, isNullable } = withoutNull(given);
  const byDefault = schema.default === undefined || typeof schema.default === "object" ? "" : `, else ${JSON.stringify(schema.default)}`;
  return `${kindOf(schema)}${isNullable ? " or null" : ""}${byDefault}`;
}

function kindOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  if (schema.type === "array") return `list of ${schema.items === undefined ? "anything" : kindOf(withoutNull(schema.items).schema)}`;
  if (schema.type === "string") return FORMATS[schema.format ?? ""] ?? `text${range(schema.minLength, schema.maxLength, " characters")}`;
  if (schema.type === "integer" || schema.type === "number") return `${schema.type}${range(schema.minimum, schema.maximum)}`;
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return choices.map(kindOf).join(" or ");
  return schema.type ?? "anything";
}

export interface Field {
  /** `message.type`, `messages[].id` */
  readonly path: string;
  readonly schema: JsonSchema;
  readonly required: boolean;
}

/** The fields of a value, those of its parts after each. */
export function fieldsOf(given: JsonSchema, prefix = ""): readonly Field[] {
  const { schema } = withoutNull(given);
  if (schema.type === "array" && schema.items !== undefined) return fieldsOf(schema.items, `${prefix}[]`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, each]) => {
    const path = prefix === "" ? name : `${prefix}.${name}`;
    return [{ path, schema: each, required: schema.required?.includes(name) ?? false }, ...fieldsOf(each, path)];
  });
}
