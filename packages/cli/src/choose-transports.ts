import { schemeOf } from "@symphony/core";
import { UsageError } from "./exit-codes.ts";
import type { Session } from "./session.ts";

/**
 * Which transports are meant: those named, else all that can be consumed, without the excluded ones.
 *
 * @throws {UsageError} the flags contradict each other, or name a transport that is not configured.
 */
export function chooseTransports(
  session: Session,
  named: readonly string[],
  all: boolean,
  excluded: readonly string[],
): readonly string[] | undefined {
  const configured = Object.keys(session.loaded.parsed.transports);
  if (named.length > 0 && all) throw new UsageError("name transports or give --all, not both");
  if (named.length > 0 && excluded.length > 0) throw new UsageError("--exclude leaves transports out of --all: leave it out, or the names");
  const unknown = [...named, ...excluded].find((name) => !configured.includes(name));
  if (unknown !== undefined) throw new UsageError(`no transport "${unknown}"; configured: ${configured.join(", ")}`);
  if (named.length > 0) return [...new Set(named)];
  if (excluded.length === 0) return undefined;
  // A sync transport has nothing to take from: nobody has to leave it out by name.
  const isConsumable = (name: string): boolean => schemeOf(session.loaded.parsed.transports[name]?.dsn ?? "") !== "sync";
  const left = configured.filter((name) => !excluded.includes(name) && isConsumable(name));
  if (left.length === 0) throw new UsageError("--exclude leaves no transport to consume from");
  return left;
}
