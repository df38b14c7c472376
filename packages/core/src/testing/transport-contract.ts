import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { auditTests } from "./contract/auditing.ts";
import { cancellingTests } from "./contract/cancelling.ts";
import { capabilityTests } from "./contract/capabilities.ts";
import { controllingTests } from "./contract/controlling.ts";
import { deadLetterGroupTests } from "./contract/dead-letter-groups.ts";
import { deadLetterTests } from "./contract/dead-letters.ts";
import { deduplicationTests } from "./contract/deduplication.ts";
import { fencingTests } from "./contract/fencing.ts";
import { forwardingTests } from "./contract/forwarding.ts";
import { guards } from "./contract/guards.ts";
import type { TransportCapability, TransportContractHarness } from "./contract/harness.ts";
import { idempotencyTests } from "./contract/idempotency.ts";
import { type Claim, ContractKit, queueNames } from "./contract/kit.ts";
import { partitionKeyTests } from "./contract/partition-keys.ts";
import { placeTests } from "./contract/places.ts";
import { reapingTests } from "./contract/reaping.ts";
import { receivingTests } from "./contract/receiving.ts";
import { redriveTests } from "./contract/redrives.ts";
import { requestTests } from "./contract/requests.ts";
import { scheduleTests } from "./contract/schedules.ts";
import { sendingTests } from "./contract/sending.ts";
import { settlingTests } from "./contract/settling.ts";
import { supervisingTests } from "./contract/supervising.ts";
import { transactionTests } from "./contract/transactions.ts";

const TEST_TIMEOUT_MS = 90_000;

const CHAPTERS: Readonly<Record<string, (claim: Claim) => void>> = {
  sending: sendingTests,
  receiving: receivingTests,
  settling: settlingTests,
  fencing: fencingTests,
  idempotency: idempotencyTests,
  deduplication: deduplicationTests,
  "partition keys": partitionKeyTests,
  "dead letters": deadLetterTests,
  "groups of dead letters": deadLetterGroupTests,
  capabilities: capabilityTests,
  transactions: transactionTests,
  reaping: reapingTests,
  supervising: supervisingTests,
  auditing: auditTests,
  redrives: redriveTests,
  requests: requestTests,
  schedules: scheduleTests,
  controlling: controllingTests,
  cancelling: cancellingTests,
  places: placeTests,
  forwarding: forwardingTests,
};

/**
 * Registers the tests that every transport must pass, with `node:test`.
 *
 * What `transport.ts` says in prose is asserted here: whoever writes a transport calls this in a test file. Each test
 * gets a fixture of its own. Optional capabilities are found with core's guards, and their tests are skipped when the
 * transport does not have them, unless the harness lists them.
 *
 * @example
 * describeTransportContract("pgboss", {
 *   capabilities: ["listable", "countable", "closeable"],
 *   create: async ({ queues }) => {
 *     const transport = await createPgBossTransport({ connectionString, queues });
 *     return { transport, close: () => transport.close() };
 *   },
 * });
 */
export function describeTransportContract(name: string, harness: TransportContractHarness): void {
  describe(`transport contract: ${name}`, () => {
    if (harness.capabilities !== undefined) declaredCapabilities(harness, harness.capabilities);
    for (const [chapter, tests] of Object.entries(CHAPTERS)) describe(chapter, () => tests(claimOf(harness)));
  });
}

function claimOf(harness: TransportContractHarness): Claim {
  return (claim, body, options = {}) => {
    test(claim, { timeout: TEST_TIMEOUT_MS }, async (t) => {
      const queues = queueNames(options.queues ?? 1);
      const fixture = await harness.create({ queues });
      t.after(() => fixture.close());
      const kit = new ContractKit(fixture, queues);
      const missing = options.needs?.find((need) => !kit.has(need));
      if (missing === undefined) await body(kit);
      else t.skip(`the transport is not ${missing}`);
    });
  };
}

function declaredCapabilities(harness: TransportContractHarness, declared: readonly TransportCapability[]): void {
  test("has the capabilities that its harness declares, no more and no fewer", async (t) => {
    const fixture = await harness.create({ queues: queueNames(1) });
    t.after(() => fixture.close());
    const found = (Object.keys(guards) as TransportCapability[]).filter((capability) => guards[capability](fixture.transport));
    assert.deepEqual(found.sort(), [...declared].sort());
  });
}
