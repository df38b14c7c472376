import {
  type DeadLetterFilter,
  isListable,
  type Listable,
  type Messenger,
  MessengerError,
  type OptionParser,
  type Transport,
} from "@symphony/core";
import { text, toggle } from "../../command.ts";
import { UsageError } from "../../exit-codes.ts";
import { timeOrAge } from "../../parsers.ts";
import { chosenTransports } from "../../session.ts";

export const FILTER_OPTIONS = {
  transport: text("Only this transport"),
  type: text("Only messages of this type"),
  queue: text("Only those that came from this queue"),
  since: text("Failed at or after: a time, a date or an age (2h)"),
  until: text("Failed before: the same"),
  fingerprint: text("Only those with this error fingerprint"),
  search: text("Only those with this text in their error's message"),
} as const;

export const SELECTION_OPTIONS = {
  ...FILTER_OPTIONS,
  all: toggle("All that match; needed when no ids are given"),
  limit: text("At most so many"),
  "dry-run": toggle("Change nothing, say what would happen"),
} as const;

export interface FilterFlags {
  readonly transport?: string | undefined;
  readonly type?: string | undefined;
  readonly queue?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly fingerprint?: string | undefined;
  readonly search?: string | undefined;
}

/** @throws {UsageError} a time cannot be read. */
export function toFilter(flags: FilterFlags, now: number, ids: readonly string[] = []): DeadLetterFilter {
  return {
    ...(ids.length === 0 ? {} : { ids: [...new Set(ids)] }),
    ...(flags.type === undefined ? {} : { type: flags.type }),
    ...(flags.queue === undefined ? {} : { queue: flags.queue }),
    ...(flags.since === undefined ? {} : { since: asUsage(timeOrAge(now), flags.since, "--since") }),
    ...(flags.until === undefined ? {} : { until: asUsage(timeOrAge(now), flags.until, "--until") }),
    ...(flags.fingerprint === undefined ? {} : { fingerprint: flags.fingerprint }),
    ...(flags.search === undefined ? {} : { search: flags.search }),
  };
}

/** @throws {UsageError} neither or both of ids and `--all`; or a rate for single messages. */
export function checkSelection(ids: readonly string[], all: boolean, isRedrive = false): void {
  if (ids.length > 0 && isRedrive) throw new UsageError("--rate and --canary are for --all");
  if (ids.length === 0 && !all) throw new UsageError("give ids, or --all with or without a filter");
  if (ids.length > 0 && all) throw new UsageError("give ids or --all, not both");
}

/** Parses a flag's value; what is wrong with it is bad usage. */
export function asUsage<T>(parser: OptionParser<T>, value: unknown, flag: string): T {
  try {
    return parser.parse(value, flag);
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

/**
 * The transports with dead letters to look at.
 *
 * @throws {MessengerError} `CAPABILITY_MISSING` when none, or the named one, can list them.
 */
export function listables(messenger: Messenger, named: string | undefined): readonly (readonly [string, Transport & Listable])[] {
  const chosen = chosenTransports(messenger, named === undefined ? [] : [named]);
  const able = chosen.filter((entry): entry is readonly [string, Transport & Listable] => isListable(entry[1]));
  if (able.length > 0) return able;
  throw new MessengerError("CAPABILITY_MISSING", `no dead letters to list: ${chosen.map(([name]) => name).join(", ")} cannot list them`);
}

/** @throws {MessengerError} `DEAD_LETTER_NOT_FOUND`, naming those of `ids` that no transport has. */
export function assertFound(ids: readonly string[], found: Iterable<string>): void {
  const known = new Set(found);
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  if (missing.length > 0)
    throw new MessengerError("DEAD_LETTER_NOT_FOUND", `no failed message with the id ${missing.join(", ")}`, { details: { ids: missing } });
}
