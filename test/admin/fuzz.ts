import assert from "node:assert/strict";
import fc from "fast-check";
import type { AdminBed } from "./admin-bed.ts";
import { type Generated, type Known, requestTo } from "./arbitrary.ts";
import { Document } from "./document.ts";

export interface FuzzReport {
  readonly requests: number;
  readonly seed: number;
  /** How often each status was answered. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Operations that were answered 2xx at least once. */
  readonly succeeded: readonly string[];
}

const AT_ONCE = 6;

/**
 * Sends generated requests to every operation of the document in turn; each answer must be one that the document
 * promises, and none a 500.
 *
 * @throws {AssertionError} with the request and the seed that makes it again.
 */
export async function fuzz(bed: AdminBed, requests: number, seed: number): Promise<FuzzReport> {
  const document = await Document.of(bed);
  const known = await prepare(bed);
  const perOperation = Math.ceil(requests / document.operations.length);
  const all = document.operations.flatMap((operation, i) =>
    fc.sample(requestTo(operation, known), { numRuns: perOperation, seed: seed + i }),
  );
  // Mixed by a step that has no factor in common with the number, so that operations meet each other's leavings.
  const step = 7_919;
  const order = all.map((_, i) => all[(i * step) % all.length] as Generated);
  const statuses: Record<string, number> = {};
  const succeeded = new Set<string>();
  const one = async (generated: Generated): Promise<void> => {
    const { operation, path, body, headers } = generated;
    const isCron = operation.scope === "cron secret";
    const token = isCron ? bed.tokens.cron : bed.tokens.all;
    const answer = await bed.ask(operation.method, path, { token, headers, ...(body === undefined ? {} : { body }) });
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
    if (answer.status < 300) succeeded.add(operation.id);
    try {
      assert.ok(answer.status < 500 || answer.status === 503, `${answer.status}: ${answer.text}`);
      // A path that its own parameter has made another one.
      if (answer.body?.code !== "METHOD_NOT_ALLOWED" && !(answer.status === 404 && answer.body?.code === "NOT_FOUND"))
        document.check(operation, answer);
    } catch (error) {
      const request = JSON.stringify({ method: operation.method, path, body, headers }).slice(0, 2_000);
      throw new Error(`seed ${seed}: ${request}\n${(error as Error).message}`, { cause: error });
    }
  };
  const left = order.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const generated of left) await one(generated);
    }),
  );
  assert.equal(bed.process.exited, false);
  return { requests: order.length, seed, statuses, succeeded: [...succeeded].sort() };
}

async function prepare(bed: AdminBed): Promise<Known> {
  const ids: string[] = [];
  for (let n = 0; n < 10; n += 1) ids.push(await bed.fail({ n }));
  const removed = ids.pop() ?? "";
  await bed.ask("DELETE", `/api/symphony/failed/${removed}`);
  const { body } = await bed.ask("GET", "/api/symphony/audit?limit=1");
  ids.push(body.records[0].id);
  return { ids, queues: ["images", "default"], types: ["image.resize", "test.fail", "test.ping"] };
}
