import type { DeadLetterFilter, Listable } from "@symphony/core";

/** Messages per statement: short transactions, also when a million are meant. */
const BATCH = 500;

/** Calls `step` for up to `most` messages, a batch at a time, until it finds no more. */
export async function take(
  most: number,
  step: (limit: number) => Promise<readonly string[]>,
  done: (ids: readonly string[]) => void,
): Promise<void> {
  for (let left = most; left > 0; ) {
    const ids = await step(Math.min(left, BATCH));
    if (ids.length === 0) return;
    done(ids);
    left -= ids.length;
  }
}

/** How many dead letters match, and which of the ids that were asked for. */
export async function countOf(
  transports: readonly (readonly [string, Listable])[],
  filter: DeadLetterFilter,
): Promise<{ total: number; accuracy: "exact" | "estimated"; ids: readonly string[] }> {
  const limit = Math.max(1, Math.min(filter.ids?.length ?? 1, 10_000));
  const pages = await Promise.all(transports.map(([, transport]) => transport.listDeadLetters(filter, { limit })));
  return {
    total: pages.reduce((sum, page) => sum + page.total, 0),
    accuracy: pages.some((page) => page.accuracy === "estimated") ? "estimated" : "exact",
    ids: filter.ids === undefined ? [] : pages.flatMap((page) => page.deadLetters.map((letter) => letter.id)),
  };
}
