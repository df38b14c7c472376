import type { Workload } from "../workload.ts";
import { dispatch } from "./dispatch.ts";
import { drainOne, drainTwo } from "./drains.ts";
import { backlogs, manyQueues, pinnedTransaction, scheduledBeside } from "./flat.ts";
import { busyMemory, idleFleet } from "./fleets.ts";
import { cpuBound, slowIo } from "./handlers.ts";
import { latency } from "./latency.ts";
import { profile } from "./profile.ts";
import { steady } from "./steady.ts";

/** In the order in which they run. */
export const WORKLOADS: readonly Workload[] = [
  drainOne,
  drainTwo,
  dispatch,
  latency,
  steady,
  cpuBound,
  slowIo,
  backlogs,
  manyQueues,
  scheduledBeside,
  pinnedTransaction,
  idleFleet,
  busyMemory,
  profile,
];
