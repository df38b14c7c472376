import type { DiagnosisLimits, Finding } from "@symphony/core";
import type { OpenTransaction, ServerState } from "./server-facts.ts";

const LOSES = "messages that were accepted can be lost when the server crashes";
const reload = (name: string, value: string): string => `ALTER SYSTEM SET ${name} = ${value}; SELECT pg_reload_conf();`;

/** Settings on which the promise rests that no accepted message is lost. */
export function durabilityFindings({ settings }: ServerState): Finding[] {
  const findings: Finding[] = [];
  const off = (name: string): boolean => settings.get(name) === "off";
  if (off("fsync")) {
    findings.push({
      code: "fsync-off",
      severity: "error",
      finding: "fsync is off",
      consequence: `${LOSES}, and the whole database with them`,
      cure: reload("fsync", "on"),
    });
  }
  if (off("full_page_writes")) {
    findings.push({
      code: "full-page-writes-off",
      severity: "error",
      finding: "full_page_writes is off",
      consequence: "a crash in the middle of a page write damages tables and indexes",
      cure: reload("full_page_writes", "on"),
    });
  }
  if (off("synchronous_commit")) {
    findings.push({
      code: "synchronous-commit-off",
      severity: "error",
      finding: "synchronous_commit is off for this role or database",
      consequence: `dispatch answers before the message is on disk: ${LOSES}`,
      cure: `${reload("synchronous_commit", "on")} or remove the setting of the role or database`,
    });
  }
  return findings;
}

const OLDEST_VERSION = 140_000;

export function serverFindings(state: ServerState, limits: DiagnosisLimits): Finding[] {
  const findings: Finding[] = [];
  if (state.version < OLDEST_VERSION) {
    findings.push({
      code: "server-too-old",
      severity: "error",
      finding: `the server is PostgreSQL ${Math.floor(state.version / 10_000)}`,
      consequence: "statements of this program may fail",
      cure: "upgrade to PostgreSQL 14 or newer",
    });
  }
  for (const name of ["autovacuum", "track_counts"]) {
    if (state.settings.get(name) !== "off") continue;
    findings.push({
      code: `${name.replace("_", "-")}-off`,
      severity: "error",
      finding: `${name} is off`,
      consequence: "dead rows are never removed: tables grow, and receiving becomes slower without end",
      cure: reload(name, "on"),
    });
  }
  if (Math.abs(state.clockAheadMs) > limits.clockSkewMs) {
    const direction = state.clockAheadMs > 0 ? "ahead of" : "behind";
    findings.push({
      code: "clock-skew",
      severity: "warning",
      finding: `the server's clock is ${Math.round(Math.abs(state.clockAheadMs))} ms ${direction} this machine's`,
      consequence: "times given with --at or scheduledAt are met that much too early or late; leases and delays are not affected",
      cure: "synchronise the clocks of both machines (NTP)",
    });
  }
  if (state.notifyQueue > 0.25) {
    findings.push({
      code: "notify-queue-filling",
      severity: state.notifyQueue > 0.75 ? "error" : "warning",
      finding: `the queue of notifications is ${Math.round(state.notifyQueue * 100)} % full`,
      consequence: "when it is full, every transaction that notifies fails at its commit",
      cure: "end the session that listens inside an old transaction; the oldest ones are named here as transaction-open",
    });
  }
  return findings;
}

/** Whether the configured fleet finds room beside what is connected already. */
export function connectionFindings({ settings, connections }: ServerState, needed: number | undefined): Finding[] {
  const number = (name: string): number => Number(settings.get(name) ?? 0);
  const allowed = number("max_connections") - number("superuser_reserved_connections") - number("reserved_connections");
  const free = allowed - connections;
  const facts = `${connections} of ${allowed} connections are in use`;
  if (needed !== undefined && needed > allowed) {
    return [
      {
        code: "connections-too-few",
        severity: "error",
        finding: `a fleet of this configuration opens up to ${needed} connections, the server allows ${allowed}`,
        consequence: "processes fail to connect, and messages wait",
        cure: `fewer --processes or a smaller poolSize, or ALTER SYSTEM SET max_connections = ${needed + number("max_connections")}; and a restart`,
      },
    ];
  }
  if (needed !== undefined && needed > free) {
    return [
      {
        code: "connections-scarce",
        severity: "warning",
        finding: `${facts}; another fleet of this configuration opens up to ${needed}`,
        consequence: "one more container may not be able to connect",
        cure: "count the connections of all fleets and programs against max_connections, and raise it or lower poolSize",
      },
    ];
  }
  if (free >= allowed * 0.1) return [];
  return [
    {
      code: "connections-scarce",
      severity: "warning",
      finding: facts,
      consequence: "programs may soon be unable to connect",
      cure: "find who holds them: SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1 ORDER BY 2 DESC;",
    },
  ];
}

const HOLDS = "nothing that has died since can be removed: queues get slower and tables grow";

export function transactionFindings(open: readonly OpenTransaction[]): Finding[] {
  return open.map((each): Finding => {
    const age = each.ageMs === null ? "" : ` for ${Math.round(each.ageMs / 1_000)} s`;
    if (each.kind === "slot") {
      return {
        code: "replication-slot-inactive",
        severity: "warning",
        subject: each.name,
        finding: `the replication slot ${each.name} (${each.who}) has no reader`,
        consequence: `${HOLDS}, and write-ahead log is kept until the disk is full`,
        cure: `reconnect its reader, or SELECT pg_drop_replication_slot('${each.name.replaceAll("'", "''")}');`,
      };
    }
    if (each.kind === "prepared") {
      return {
        code: "transaction-prepared",
        severity: "warning",
        subject: each.name,
        finding: `the prepared transaction ${each.name} of ${each.who} has been waiting${age}`,
        consequence: HOLDS,
        cure: `COMMIT PREPARED or ROLLBACK PREPARED '${each.name.replaceAll("'", "''")}';`,
      };
    }
    return {
      code: "transaction-open",
      severity: "warning",
      subject: each.name,
      finding: `process ${each.name} (${each.who}) has had a transaction open${age}: ${each.what}`,
      consequence: HOLDS,
      cure: `SELECT pg_terminate_backend(${each.name}); and set idle_in_transaction_session_timeout for its role`,
    };
  });
}
