import { NAME_PATTERN } from "@symphony/core";
import { z } from "zod";

/** A whole number in a query, written in decimal digits and nothing else: no sign, no exponent, no `0x`. */
export function queryInteger(o: { readonly min: number; readonly max: number; readonly default: number }) {
  const range = `must be an integer from ${o.min} to ${o.max}`;
  return z
    .string()
    .regex(/^(?:0|[1-9]\d{0,8})$/, range)
    .transform(Number)
    .refine((value) => value >= o.min && value <= o.max, range)
    .default(o.default)
    .meta({ asParameter: { type: "integer", minimum: o.min, maximum: o.max, default: o.default } });
}

/** Names of queues, types and transports: safe in URLs, labels and statements. */
export const name = z.string().regex(NAME_PATTERN, `must match ${NAME_PATTERN.source}`);

/** Ids are UUIDs; in capitals they mean the same. */
export const messageId = z.guid("must be a UUID").transform((id) => id.toLowerCase());

/** RFC 3339 with zone, as far as a message can reasonably be from. */
export const time = z.iso.datetime({ offset: true, error: "must be a time with zone, as in RFC 3339" }).refine((text) => {
  const year = new Date(text).getUTCFullYear();
  return year >= 2000 && year <= 2100;
}, "must be in the years 2000 to 2100");

/** Printable text of a person or program; control characters would break logs and tables. */
export const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, "must not hold control characters")
    // What looks the same is the same, however it was typed.
    .normalize("NFC");

/** Shorter ones fit nearly everything. */
export const search = text(200).min(3);

export const fingerprint = z.string().regex(/^[0-9a-f]{16}$/, "must be 16 hexadecimal digits");

export const success = z.literal(true);
export const timestamp = z.iso.datetime();
export const count = z.int().min(0);
