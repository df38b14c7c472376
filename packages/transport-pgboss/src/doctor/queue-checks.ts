import type { DiagnosisLimits, Finding, QueueCounts, WorkerRow } from "@symphony/core";
import type { BadIndex, QueueTable, StuckDeliveries } from "./queue-facts.ts";

const DAY_SECONDS = 86_400;
/** Less than this and waiting messages could be deleted in the lifetime of a program: ten years. */
const SHORTEST_RETENTION_SECONDS = 3_650 * DAY_SECONDS;
/** PostgreSQL stops accepting writes at two billion; autovacuum begins to hurry at 200 million. */
const OLD_AGE = 1_000_000_000;

const megabytes = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MB`;

export function tableFindings(tables: readonly QueueTable[], input: { schema: string; dead: string; limits: DiagnosisLimits }): Finding[] {
  return tables.flatMap((each) => [...retentionFindings(each, input.dead), ...vacuumFindings(each, input.schema, input.limits)]);
}

function retentionFindings(each: QueueTable, dead: string): Finding[] {
  const findings: Finding[] = [];
  const subject = each.queue;
  if (each.retentionSeconds > 0 && each.retentionSeconds < SHORTEST_RETENTION_SECONDS) {
    findings.push({
      code: "retention-bites",
      severity: "error",
      subject,
      finding: `the queue "${subject}" keeps waiting messages for ${Math.round(each.retentionSeconds / DAY_SECONDS)} days only`,
      consequence: "pg-boss deletes messages that waited for longer, and nobody is told",
      cure: "symphony setup",
    });
  }
  if (each.queue === dead && each.deletionSeconds > 0) {
    findings.push({
      code: "retention-bites",
      severity: "error",
      subject,
      finding: `dead letters are deleted after ${Math.round(each.deletionSeconds / DAY_SECONDS)} days`,
      consequence: "messages that were given up on vanish before somebody has looked at them",
      cure: "symphony setup",
    });
  }
  if (!each.isLogged) {
    findings.push({
      code: "table-unlogged",
      severity: "error",
      subject,
      finding: `the table of the queue "${subject}" is unlogged`,
      consequence: "a crash of the server empties it",
      cure: `ALTER TABLE ${each.table} SET LOGGED;`,
    });
  }
  return findings;
}

function vacuumFindings(each: QueueTable, schema: string, limits: DiagnosisLimits): Finding[] {
  const findings: Finding[] = [];
  const table = `${schema}.${each.table}`;
  const subject = each.queue;
  if (!each.isVacuumed) {
    findings.push({
      code: "autovacuum-disabled",
      severity: "error",
      subject,
      finding: `autovacuum is disabled for the queue "${subject}"`,
      consequence: "dead rows are never removed: receiving becomes slower without end",
      cure: `ALTER TABLE ${table} RESET (autovacuum_enabled);`,
    });
  }
  if (each.deadRows > limits.deadRows && each.deadRows > 2 * each.liveRows) {
    const last = each.lastVacuumAt === null ? "never vacuumed" : `last vacuumed ${each.lastVacuumAt}`;
    findings.push({
      code: "dead-rows",
      severity: "warning",
      subject,
      finding: `the queue "${subject}" has ${each.deadRows} dead rows beside ${each.liveRows} live ones (${megabytes(each.bytes)}, ${last})`,
      consequence: "every receive reads past them",
      cure: `end old transactions (see transaction-open), then VACUUM ${table};`,
    });
  }
  if (each.age > OLD_AGE) {
    findings.push({
      code: "wraparound-near",
      severity: "error",
      subject,
      finding: `the queue "${subject}" has rows from ${each.age} transactions ago`,
      consequence: "at two billion PostgreSQL refuses every write",
      cure: `VACUUM (FREEZE) ${table};`,
    });
  }
  return findings;
}

export function indexFindings(indexes: readonly BadIndex[], schema: string): Finding[] {
  return indexes.map((each): Finding => {
    const cure = `REINDEX INDEX CONCURRENTLY ${schema}.${each.index};`;
    if (!each.isValid) {
      return {
        code: "index-invalid",
        severity: "error",
        subject: each.index,
        finding: `the index ${each.index} of ${each.table} is not valid: building it was interrupted`,
        consequence: "it costs as much as a valid one and is used for nothing",
        cure: `symphony setup, or ${cure}`,
      };
    }
    return {
      code: "index-bloat",
      severity: "warning",
      subject: each.index,
      finding: `the index ${each.index} has ${megabytes(each.bytes)} for ${each.rows} rows`,
      consequence: "receiving reads more pages than it needs, and less of other tables is kept in memory",
      cure,
    };
  });
}

export function stuckFindings(stuck: readonly StuckDeliveries[]): Finding[] {
  return stuck.flatMap((each) => {
    const findings: Finding[] = [];
    if (each.abandoned > 0) {
      findings.push({
        code: "deliveries-abandoned",
        severity: "warning",
        subject: each.queue,
        finding: `${each.abandoned} messages of the queue "${each.queue}" are held by workers that no longer exist`,
        consequence: "they wait until a supervisor takes them back, which every running fleet does within seconds",
        cure: "start a fleet (symphony consume); if one runs and this stays, look at its log for errors of the reaper",
      });
    }
    if (each.slow > 0) {
      findings.push({
        code: "deliveries-slow",
        severity: "warning",
        subject: each.queue,
        finding: `${each.slow} messages of the queue "${each.queue}" have been in flight for long, the oldest for ${Math.round(each.oldestMs / 60_000)} minutes`,
        consequence: "they occupy slots; without a timeout a handler that hangs does so for ever",
        cure: "set timeoutMs on the message type; symphony stop-workers hands them back",
      });
    }
    return findings;
  });
}

/** Ready messages that wait for too long, and queues that nobody takes from. */
export function waitingFindings(counts: readonly QueueCounts[], workers: readonly WorkerRow[], limits: DiagnosisLimits): Finding[] {
  return counts.flatMap((each): Finding[] => {
    if (each.ready === 0) return [];
    const takers = workers.filter(({ queues }) => queues.length === 0 || queues.includes(each.queue));
    const age = each.oldestReadyAgeMs ?? 0;
    if (takers.length === 0) {
      return [
        {
          code: "queue-without-worker",
          severity: age > limits.waitingMs ? "error" : "warning",
          subject: each.queue,
          finding: `${each.ready} messages wait in the queue "${each.queue}", and no running worker takes from it`,
          consequence: "nobody handles them",
          cure: `symphony consume --queues ${each.queue}`,
        },
      ];
    }
    if (age <= limits.waitingMs) return [];
    return [
      {
        code: "messages-overdue",
        severity: "warning",
        subject: each.queue,
        finding: `the oldest of ${each.ready} ready messages in "${each.queue}" has waited for ${Math.round(age / 60_000)} minutes`,
        consequence: `${takers.length} workers do not keep up, or do not get to it behind queues that come first`,
        cure: "more processes or containers, or a place earlier in --queues; symphony status --watch shows whether it shrinks",
      },
    ];
  });
}
