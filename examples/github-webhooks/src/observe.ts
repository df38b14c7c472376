import type { QueueCounts } from "@symphony/core";
import type { DeadLetterEntry, Evidence } from "./accounting.ts";
import { type RunFigures, readFigures } from "./database.ts";
import { GithubDelivery, QUEUES, RepositorySummarise, SubscriberDeliver } from "./messages.ts";
import type { Snapshot } from "./progress.ts";
import type { Stage } from "./stage.ts";

/** One look at everything that counts. */
export interface Observation {
  readonly tables: RunFigures;
  readonly counts: ReadonlyMap<string, QueueCounts>;
  readonly delivered: number;
  /** Failed attempts so far by what went wrong, most frequent first. */
  readonly failures: readonly (readonly [reason: string, times: number])[];
  /** Ready, scheduled or in flight. */
  readonly unsettled: number;
  readonly deadLetters: number;
  /** Handled since the run began, by the transport's counters; they are written once a second. */
  readonly completed: number;
}

/** Counters and dead letters by queue, as an earlier run left them. */
export type Before = ReadonlyMap<string, Pick<QueueCounts, "failed" | "completed">>;

const PAGE = 200;

/** @param before - What the queues said before the run began. */
export async function observe(stage: Stage, before: Before): Promise<Observation> {
  const [tables, all] = await Promise.all([readFigures(stage.pool, stage.runId), stage.transport.getCounts()]);
  const counts = new Map(all.filter(({ queue }) => QUEUES.includes(queue)).map((count) => [count.queue, count]));
  const { requests, accepted } = stage.subscribers.figures();
  const forged = failedIn(GithubDelivery.queue, counts, before);
  const failures = [...requests].filter(([behaviour]) => behaviour !== "fine") as [string, number][];
  if (forged > 0) failures.push(["bad signature", forged]);
  return {
    tables,
    counts,
    delivered: accepted.size,
    failures: failures.sort(([, a], [, b]) => b - a),
    unsettled: sum(counts, ({ ready, scheduled, active }) => ready + scheduled + active),
    deadLetters: QUEUES.reduce((total, queue) => total + failedIn(queue, counts, before), 0),
    completed: QUEUES.reduce((total, queue) => total + (counts.get(queue)?.completed ?? 0) - (before.get(queue)?.completed ?? 0), 0),
  };
}

export const countsBefore = (counts: readonly QueueCounts[]): Before => new Map(counts.map((count) => [count.queue, count]));

const failedIn = (queue: string, counts: ReadonlyMap<string, QueueCounts>, before: Before): number =>
  (counts.get(queue)?.failed ?? 0) - (before.get(queue)?.failed ?? 0);

const sum = (counts: ReadonlyMap<string, QueueCounts>, of: (count: QueueCounts) => number): number =>
  [...counts.values()].reduce((total, count) => total + of(count), 0);

/** An observation as the display wants it. */
export function toSnapshot(seen: Observation, o: { phase: string; elapsedMs: number; webhooks: number; forged: number }): Snapshot {
  const { tables, counts } = seen;
  return {
    phase: o.phase,
    elapsedMs: o.elapsedMs,
    lanes: [
      { name: GithubDelivery.name, done: tables.activities, total: o.webhooks },
      { name: RepositorySummarise.name, done: tables.summariesHandled, total: tables.summariesDispatched },
      { name: SubscriberDeliver.name, done: seen.delivered, total: tables.outgoingDispatched },
    ],
    waiting: {
      ready: sum(counts, ({ ready }) => ready),
      scheduled: sum(counts, ({ scheduled }) => scheduled),
      inFlight: sum(counts, ({ active }) => active),
    },
    deadLetters: seen.deadLetters,
    handled: tables.activities + tables.summariesHandled + seen.delivered,
    latencyMs: tables.latencyMs,
    failures: seen.failures,
  };
}

/** This run's dead letters, all of them. */
export async function listDeadLetters(stage: Stage): Promise<DeadLetterEntry[]> {
  const entries: DeadLetterEntry[] = [];
  for (const queue of QUEUES) {
    for (let offset = 0; ; offset += PAGE) {
      const page = await stage.transport.listDeadLetters({ queue }, { limit: PAGE, offset });
      for (const { id, type, envelope, failure } of page.deadLetters) {
        if ((envelope?.message.payload as { runId?: unknown } | undefined)?.runId !== stage.runId) continue;
        entries.push({ id, type: type ?? "", reason: failure.reason, error: failure.error.message });
      }
      if (page.deadLetters.length < PAGE) break;
    }
  }
  return entries;
}

/** What the accounts are settled with, once nothing moves any more. */
export async function gatherEvidence(
  stage: Stage,
  seen: Observation,
  known: Pick<Evidence, "payloads" | "forged" | "redelivered" | "redriven"> & { readonly workerLost: boolean },
): Promise<Evidence> {
  const { accepted, repeated } = stage.subscribers.figures();
  const { workerLost, ...rest } = known;
  return {
    ...rest,
    countedByTransport: workerLost ? null : seen.completed,
    accepted: stage.accepted,
    duplicates: stage.duplicates.count,
    tables: seen.tables,
    delivered: accepted,
    repeatedDeliveries: repeated,
    deadLetters: await listDeadLetters(stage),
    unsettled: seen.unsettled,
  };
}
