const MAX_BACKOFF_MS = 10_000;

/** Milliseconds to wait after so many failures in a row: 100 ms, doubled each time, at most 10 s, with up to half of it taken off. */
export function backoffMs(failures: number, random: () => number): number {
  const longest = Math.min(MAX_BACKOFF_MS, 100 * 2 ** Math.min(failures - 1, 10));
  return longest * (0.5 + random() / 2);
}
