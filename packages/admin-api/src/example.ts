import { type JsonSchema, withoutNull } from "./json-schema.ts";

/** What stands for a field of this name, wherever it is. */
const BY_NAME: Readonly<Record<string, unknown>> = {
  actor: { name: "ada", kind: "token", tokenId: "368befb6", address: "127.0.0.1" },
  action: "retry",
  attempt: 1,
  attempts: 3,
  bus: "default",
  code: "UNRECOVERABLE",
  confirm: "images",
  deduplicate: "cat-200",
  error: { name: "Error", message: "there is no cat.png" },
  fingerprint: "f656fe356c36e196",
  headers: { tenant: "acme" },
  hostname: "fleet-1",
  idempotencyKey: "cat-200",
  limit: 50,
  metadata: { requestedBy: "ada" },
  parameters: { type: "image.resize" },
  partitionKey: "acme",
  payload: { path: "cat.png", width: 200 },
  pausedTypes: [],
  pid: 4711,
  principal: "ada",
  priority: 5,
  queue: "images",
  queues: ["images"],
  rate: 20,
  requestedBy: "ada",
  schedule: "nightly-report",
  search: "cat.png",
  stopReason: "manual",
  target: "images",
  transport: "default",
  trigger: "cron 30 3 * * * (Europe/Berlin)",
  triggerInWords: "at 03:30 every day (Europe/Berlin)",
  type: "image.resize",
};

const TIME = "2026-11-25T11:05:21.119Z";
const ID = "01a21261-b019-7001-ab5c-c9f9ed953b21";

/**
 * A value as the schema has it, for people. In a request only what is needed and what `BY_NAME` knows; in an answer
 * everything that is always there.
 *
 * @param onlyRequired - Leaves out what may be left out.
 */
export function exampleOf(given: JsonSchema, name = "", onlyRequired = false): unknown {
  const { schema, isNullable } = withoutNull(given);
  if (schema.const !== undefined) return schema.const;
  const known = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;
  if (known !== undefined && fits(known, schema)) return known;
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.type === "object") {
    const fields = Object.entries(schema.properties ?? {}).filter(([key]) => !onlyRequired || schema.required?.includes(key));
    return Object.fromEntries(fields.map(([key, each]) => [key, exampleOf(each, key, onlyRequired)]));
  }
  if (schema.type === "array") return schema.items === undefined ? [] : [exampleOf(schema.items, name.replace(/s$/, ""), onlyRequired)];
  if (schema.format === "date-time") return isNullable && name.startsWith("next") ? null : TIME;
  if (schema.type === "string") return /id$/i.test(name) || schema.format !== undefined ? ID : (schema.default ?? name);
  if (schema.type === "integer" || schema.type === "number") return schema.default ?? Math.max(1, schema.minimum ?? 1);
  if (schema.type === "boolean") return schema.default ?? false;
  const [first] = schema.anyOf ?? schema.oneOf ?? [];
  return first === undefined ? (isNullable ? null : {}) : exampleOf(first, name, onlyRequired);
}

/** Whether a known value is of the kind that the schema wants. */
function fits(value: unknown, { type, enum: choices, properties, pattern, items }: JsonSchema): boolean {
  if (choices !== undefined) return choices.includes(value);
  if (pattern !== undefined && typeof value === "string") return new RegExp(pattern, "u").test(value);
  if (type === undefined) return properties === undefined;
  if (type === "integer" || type === "number") return typeof value === "number";
  if (type === "array") return Array.isArray(value) && items?.type === "string";
  if (type === "object") return typeof value === "object" && !Array.isArray(value) && properties === undefined;
  return typeof value === type;
}
