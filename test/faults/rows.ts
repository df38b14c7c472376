import type { Row } from "./row.ts";
import { crashRows } from "./rows/crashes.ts";
import { databaseRows } from "./rows/database.ts";
import { killRows } from "./rows/kills.ts";
import { messageRows } from "./rows/messages.ts";
import { outcomeRows } from "./rows/outcomes.ts";
import { shutdownRows } from "./rows/shutdown.ts";

/** In the order of the catalogue. */
export const ROWS: readonly Row[] = [...killRows, ...crashRows, ...shutdownRows, ...databaseRows, ...messageRows, ...outcomeRows].sort(
  (a, b) => a.id.localeCompare(b.id),
);

/** Rows of the gate tier that nobody has written yet. */
export const NOT_BUILT: Readonly<Record<string, string>> = {
  F20: "kernel OOM kill in a limited cgroup",
  F36: "lost reply of a claim",
  F40: "connections exhausted",
  F44: "deadlocks and serialisation errors",
  F49: "schema newer or older than the code",
  F50: "20 processes set up at once",
  F54: "rows damaged by hand",
  F57: "worker clock off",
  F58: "worker clock steps back",
  F78: "the dead letter cannot be written",
  F85: "retention",
};
