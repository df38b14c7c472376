/** Of queues: a name, `prefix.*` for all names that begin with `prefix.`, or `*` for all. */
export type QueuePattern = string;

export const QUEUE_PATTERN = /^(?:\*|[A-Za-z0-9][A-Za-z0-9._-]{0,60}(?:\.\*)?|[A-Za-z0-9][A-Za-z0-9._-]{0,62})$/;

/** Patterns, taken apart: as most stores can compare names and beginnings of names. */
export interface QueueNames {
  readonly all: boolean;
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
}

export function queueNamesOf(patterns: readonly QueuePattern[]): QueueNames {
  const prefixes = patterns.filter((pattern) => pattern.endsWith(".*"));
  return {
    all: patterns.includes("*"),
    names: patterns.filter((pattern) => pattern !== "*" && !prefixes.includes(pattern)),
    prefixes: prefixes.map((pattern) => pattern.slice(0, -1)),
  };
}

export function matchesQueue(patterns: readonly QueuePattern[], queue: string): boolean {
  const { all, names, prefixes } = queueNamesOf(patterns);
  return all || names.includes(queue) || prefixes.some((prefix) => queue.startsWith(prefix));
}
