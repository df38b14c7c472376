import {
  bySeverity,
  DIAGNOSIS_LIMITS,
  type DiagnosisInput,
  type DiagnosisLimits,
  type Finding,
  MessengerError,
  type QueueCounts,
  type Runtime,
  type WorkerRow,
} from "@symphony/core";
import type { Database } from "../connection.ts";
import type { PgBossOptions } from "../options.ts";
import type { QueueDirectory } from "../queues.ts";
import type { Step } from "../setup.ts";
import { indexFindings, stuckFindings, tableFindings, waitingFindings } from "./queue-checks.ts";
import { readBadIndexes, readQueueTables, readStuck } from "./queue-facts.ts";
import { connectionFindings, durabilityFindings, serverFindings, transactionFindings } from "./server-checks.ts";
import { readOpenTransactions, readServer } from "./server-facts.ts";

export interface DoctorInput {
  readonly database: Database;
  readonly options: PgBossOptions;
  readonly runtime: Runtime;
  readonly queues: QueueDirectory;
  readonly missing: () => Promise<readonly Step[]>;
  readonly counts: () => Promise<readonly QueueCounts[]>;
  readonly workers: () => Promise<readonly WorkerRow[]>;
}

/** Examines the server, the schema and the queues. Reads catalogues, statistics and short stretches of indexes. */
export class Doctor {
  readonly #input: DoctorInput;

  constructor(input: DoctorInput) {
    this.#input = input;
  }

  async diagnose({ connections, limits: given = {} }: DiagnosisInput = {}): Promise<readonly Finding[]> {
    const limits = { ...DIAGNOSIS_LIMITS, ...given };
    const { database, runtime } = this.#input;
    const server = await readServer(database, () => runtime.clock.now());
    const findings = [
      ...durabilityFindings(server),
      ...serverFindings(server, limits),
      ...connectionFindings(server, connections),
      ...transactionFindings(await readOpenTransactions(database, limits.transactionMs)),
      ...this.#pathFindings(),
    ];
    const setUp = await this.#setUpFindings();
    findings.push(...setUp);
    // Without its tables there is no queue to look at.
    if (!setUp.some(({ code }) => code === "schema-missing" || code === "schema-mismatch"))
      findings.push(...(await this.#queueFindings(limits)));
    return bySeverity(findings);
  }

  #pathFindings(): Finding[] {
    const { facts } = this.#input.database;
    const findings: Finding[] = [];
    if (facts.pooled) {
      findings.push({
        code: "transaction-pooler",
        severity: "info",
        finding: "something between here and the server hands statements to changing connections (pgbouncer in transaction mode or alike)",
        consequence: "no wake-ups by NOTIFY and no prepared statements: messages are found by polling, and each costs more",
        cure: "connect fleets to the server itself or to a session pool; dispatching programs may stay",
      });
    }
    if (facts.backend !== "postgres") {
      findings.push({
        code: "portable-path",
        severity: "info",
        finding: `the server is ${facts.backend}`,
        consequence: "messages go through pg-boss's public API, which is slower than our own statements",
        cure: "nothing needs to be done",
      });
    }
    return findings;
  }

  async #setUpFindings(): Promise<Finding[]> {
    const { schema } = this.#input.options;
    let missing: readonly Step[];
    try {
      missing = await this.#input.missing();
    } catch (error) {
      if (!(error instanceof MessengerError) || error.code !== "SCHEMA_VERSION_MISMATCH") throw error;
      const consequence = "this program refuses to work with it";
      return [
        { code: "schema-mismatch", severity: "error", subject: schema, finding: error.message, consequence, cure: "update the program" },
      ];
    }
    return missing.map((step): Finding => {
      const base = { subject: schema, finding: `missing: ${step.title}`, cure: "symphony setup" };
      if (step.kind === "schema") return { code: "schema-missing", severity: "error", consequence: "programs refuse to start", ...base };
      if (step.kind === "queue") return { code: "queue-missing", severity: "error", consequence: "messages for it are refused", ...base };
      return { code: "set-up-incomplete", severity: "warning", consequence: "slower receiving, or retention that bites", ...base };
    });
  }

  async #queueFindings(limits: DiagnosisLimits): Promise<Finding[]> {
    const { database, options, queues } = this.#input;
    const { schema, deadLetterQueue: dead } = options;
    const all = await queues.all();
    return [
      ...tableFindings(await readQueueTables(database, schema), { schema, dead, limits }),
      ...indexFindings(await readBadIndexes(database, schema), schema),
      ...stuckFindings(await readStuck(database, schema, all, limits)),
      ...waitingFindings(await this.#input.counts(), await this.#input.workers(), limits),
    ];
  }
}
