import { ATTRIBUTES, METRICS, type MetricDefinition, type MetricSeries } from "@symphony/core";
import type { WorkerProcessState } from "../worker-process.ts";
import type { FleetState } from "./supervisor-options.ts";

const gauge = ({ name }: MetricDefinition, value: number, state?: string): MetricSeries => ({
  name,
  labels: state === undefined ? {} : { [ATTRIBUTES.state]: state },
  value,
});

/** Pure. What the supervisor knows of its fleet at this moment, as gauges. */
export function fleetGauges({ totals, ready, living, pids, pollAgeMs }: FleetState): readonly MetricSeries[] {
  return [
    gauge(METRICS.workerSlots, totals.slots),
    gauge(METRICS.workerInFlight, totals.inFlight),
    gauge(METRICS.workerProcesses, ready, "ready"),
    gauge(METRICS.workerProcesses, living - ready, "starting"),
    // Those that end, successors of those, and the isolation lane.
    gauge(METRICS.workerProcesses, Math.max(0, pids.length - living), "other"),
    ...(pollAgeMs === null ? [] : [gauge(METRICS.pollLastAge, pollAgeMs / 1_000)]),
  ];
}

/** Pure. The same of a worker process without a supervisor. */
export function processGauges({ slots, inFlight, phase, pollAgeMs }: WorkerProcessState): readonly MetricSeries[] {
  return [
    gauge(METRICS.workerSlots, slots),
    gauge(METRICS.workerInFlight, inFlight),
    gauge(METRICS.workerProcesses, phase === "running" ? 1 : 0, "ready"),
    ...(pollAgeMs === null ? [] : [gauge(METRICS.pollLastAge, pollAgeMs / 1_000)]),
  ];
}
