/** What is known of a fleet, or of a single worker process, without asking anybody. */
export interface Vitals {
  /** Worker processes that there should be, that there are, that are waiting to be started again, and that receive. */
  readonly wanted: number;
  readonly living: number;
  readonly restarting: number;
  readonly ready: number;
  /** Some worker was ready at some time. */
  readonly everReady: boolean;
  readonly stopping: boolean;
  readonly paused: boolean;
  /** Starts in a row that came to nothing, in the place where it is worst. */
  readonly crashLoop: number;
  readonly lastBootError: string | null;
  /** Milliseconds since the leases were last renewed, null before the first time. */
  readonly leaseAgeMs: number | null;
  /** Milliseconds that this machine's clock is ahead of the database's; absent or null: not known. */
  readonly clockSkewMs?: number | null;
}

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export type Probe = "livez" | "readyz" | "startupz";

/** Starts in a row; with the pauses between them some four minutes, after which waiting longer has never helped. */
const CRASH_LOOP_LIMIT = 12;
/** Milliseconds: three renewals missed. */
const LEASE_FRESH_MS = 9_000;

/** Pure. What each probe says; it passes when all its checks do. */
export function assess(probe: Probe, vitals: Vitals): readonly Check[] {
  switch (probe) {
    case "livez":
      return liveness(vitals);
    case "readyz":
      return [serving(vitals), connected(vitals), staying(vitals)];
    case "startupz":
      return [started(vitals)];
  }
}

/**
 * Fails only for what a restart of the container cures. The database is not asked and not judged: an outage of it must
 * not restart the fleet. That this code runs at all shows that the event loop turns.
 */
function liveness(vitals: Vitals): readonly Check[] {
  const { living, restarting, ready, crashLoop, stopping, wanted } = vitals;
  return [
    {
      name: "workers",
      ok: stopping || living > 0 || restarting > 0 || wanted === 0,
      detail: `${living} of ${wanted} living, ${restarting} to be started again`,
    },
    {
      name: "starts",
      // While others work, a restart would take them down with it.
      ok: stopping || ready > 0 || crashLoop < CRASH_LOOP_LIMIT,
      detail: `${crashLoop} starts in a row came to nothing, the limit is ${CRASH_LOOP_LIMIT}${cause(vitals)}`,
    },
  ];
}

const serving = (vitals: Vitals): Check => ({
  name: "receiving",
  ok: vitals.ready > 0 || vitals.wanted === 0,
  // Paused by hand: it does as it was told, and a rollout need not wait for it.
  detail: `${vitals.ready} of ${vitals.wanted} ready${vitals.paused ? ", paused" : ""}${cause(vitals)}`,
});

const connected = ({ leaseAgeMs, clockSkewMs }: Vitals): Check => ({
  name: "leases",
  ok: leaseAgeMs !== null && leaseAgeMs < LEASE_FRESH_MS,
  detail: leaseAgeMs === null ? "never renewed" : `renewed ${Math.round(leaseAgeMs)} ms ago${skew(clockSkewMs)}`,
});

/** Shown and not judged: nothing of ours depends on it. */
const skew = (ms: number | null | undefined): string =>
  ms === undefined || ms === null ? "" : `, this clock is ${Math.abs(Math.round(ms))} ms ${ms < 0 ? "behind" : "ahead of"} the database's`;

const staying = ({ stopping }: Vitals): Check => ({ name: "staying", ok: !stopping, detail: stopping ? "stopping" : "not stopping" });

const started = (vitals: Vitals): Check => ({
  name: "started",
  ok: vitals.everReady,
  detail: `${vitals.everReady ? "a worker has been ready" : "no worker has been ready yet"}${cause(vitals)}`,
});

const cause = ({ lastBootError }: Vitals): string => (lastBootError === null ? "" : `: ${lastBootError}`);
