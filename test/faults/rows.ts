import type { Row } from "./row.ts";
import { clockRows } from "./rows/clocks.ts";
import { contentionRows } from "./rows/contention.ts";
import { crashRows } from "./rows/crashes.ts";
import { databaseRows } from "./rows/database.ts";
import { isolationRows } from "./rows/isolation.ts";
import { killRows } from "./rows/kills.ts";
import { messageRows } from "./rows/messages.ts";
import { outcomeRows } from "./rows/outcomes.ts";
import { scheduleRows } from "./rows/schedules.ts";
import { shutdownRows } from "./rows/shutdown.ts";
import { storageRows } from "./rows/storage.ts";

/** In the order of the catalogue. */
export const ROWS: readonly Row[] = [
  ...killRows,
  ...crashRows,
  ...shutdownRows,
  ...databaseRows,
  ...messageRows,
  ...outcomeRows,
  ...storageRows,
  ...contentionRows,
  ...scheduleRows,
  ...clockRows,
  ...isolationRows,
].sort((a, b) => a.id.localeCompare(b.id));

/** Rows of the gate tier that nobody has written yet. */
export const NOT_BUILT: Readonly<Record<string, string>> = {};
