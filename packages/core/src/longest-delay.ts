/** A year, in milliseconds. A longer delay is a mistake in the numbers, and stores do not know times that are very far away. */
export const LONGEST_DELAY_MS = 365 * 86_400_000;
