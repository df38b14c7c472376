import {
  type AnyMessageType,
  type DispatchOptions,
  defineMessage,
  integer,
  type Messenger,
  MessengerError,
  nearest,
  number,
} from "@symphony/core";
import { UsageError } from "../../exit-codes.ts";
import { header } from "../../parsers.ts";
import { asUsage } from "../failed/selection.ts";

export interface DispatchFlags {
  readonly queue?: string | undefined;
  readonly priority?: string | undefined;
  readonly delay?: string | undefined;
  readonly at?: string | undefined;
  readonly "expires-in"?: string | undefined;
  readonly "idempotency-key"?: string | undefined;
  readonly deduplicate?: string | undefined;
  readonly "partition-key"?: string | undefined;
  readonly bus?: string | undefined;
  readonly header?: readonly string[] | undefined;
  readonly transport?: string | undefined;
}

/** @throws {UsageError} */
export function toDispatchOptions(flags: DispatchFlags): DispatchOptions {
  const { queue, priority, delay, at, header: headers, transport, deduplicate, bus } = flags;
  const { "idempotency-key": key, "expires-in": expiresIn, "partition-key": partitionKey } = flags;
  if (delay !== undefined && at !== undefined) throw new UsageError("--delay and --at exclude each other");
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(priority === undefined ? {} : { priority: asUsage(integer({ min: 1, max: 10 }), priority, "--priority") }),
    ...(delay === undefined ? {} : { delayMs: asUsage(number({ min: 0 }), delay, "--delay") }),
    ...(at === undefined ? {} : { scheduledAt: at }),
    ...(expiresIn === undefined ? {} : { expiresInMs: asUsage(number({ min: 1 }), expiresIn, "--expires-in") }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(deduplicate === undefined ? {} : { deduplicate }),
    ...(partitionKey === undefined ? {} : { partitionKey }),
    ...(bus === undefined ? {} : { bus }),
    ...(transport === undefined ? {} : { transport }),
    ...(headers === undefined || headers.length === 0 ? {} : { headers: toHeaders(headers) }),
  };
}

function toHeaders(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(given.map((one) => asUsage({ parse: (value, path) => header(String(value), path) }, one, "--header")));
}

/**
 * The message type of a name.
 *
 * A type that the configuration does not know is a slip of the pen most of the time, and its message would end as a
 * dead letter: it is refused, unless `force` says that somebody else handles it.
 *
 * @throws {MessengerError} `MESSAGE_TYPE_UNKNOWN`, naming the nearest known one.
 * @throws {OptionsError} `OPTIONS_INVALID` forced, and no possible name.
 */
export function typeOf(messenger: Messenger, name: string, force: boolean): AnyMessageType {
  const known = messenger.registry.get(name);
  if (known !== undefined) return known;
  if (force) return defineMessage(name);
  const names = messenger.registry.all().map((type) => type.name);
  const near = nearest(name, names);
  const hint =
    names.length === 0
      ? "the configuration names none"
      : near === undefined
        ? `known: ${names.slice(0, 20).join(", ")}${names.length > 20 ? ", …" : ""}`
        : `did you mean "${near}"?`;
  throw new MessengerError("MESSAGE_TYPE_UNKNOWN", `no message type "${name}"; ${hint} (--force sends it all the same)`, {
    details: { type: name },
  });
}

export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${where} is not JSON: ${(cause as Error).message}`, { cause });
  }
}
