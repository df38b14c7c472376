import { LazyDelivery, type Receipt, type Received, type RecordPatch, type Serializer } from "@symphony/core";
import pg from "pg";
import type { JobWithMetadata } from "pg-boss";
import type { Bundles } from "./bundles.ts";
import type { Database } from "./connection.ts";
import type { Burial, Claimed, ClaimRequest, GiveBack, Lane, QueueReceipts, Settlements } from "./lane.ts";
import type { LostClaims } from "./lost-claims.ts";
import { bossDatabase, type PublicApi, rawBossDatabase } from "./public-api.ts";
import type { QueueInfo } from "./queues.ts";
import type { PgBossReceipt } from "./row-codec.ts";
import { optionsOf, patched, QUEUE_OPTIONS } from "./statements.ts";

type Job = JobWithMetadata<unknown>;

/** What a dead letter takes over from its message; times and records as text. */
interface MovedRow {
  readonly id: string;
  readonly data: string | null;
  readonly singleton_key: string | null;
}

/** What pg-boss calls a receipt. */
interface Attempt {
  readonly id: string;
  readonly retryCount: number;
}

/**
 * The same through pg-boss's public API, for databases, queues and versions that our own statements are not written
 * for: several statements where the fast lane has one, each group in a transaction, and no new kind of row.
 */
export class PortableLane implements Lane {
  readonly tellsEpoch = false;
  readonly #api: PublicApi;
  readonly #database: Database;
  readonly #schema: string;
  readonly #serializer: Serializer;
  readonly #lost: LostClaims;
  readonly #bundles: Bundles;

  constructor(api: PublicApi, database: Database, schema: string, serializer: Serializer, lost: LostClaims, bundles: Bundles) {
    this.#bundles = bundles;
    this.#api = api;
    this.#database = database;
    this.#schema = schema;
    this.#serializer = serializer;
    this.#lost = lost;
  }

  async claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    const settled = await this.acknowledge(request.acknowledge);
    const received: Received[] = [];
    for (const queue of queues) {
      const left = request.max - received.length;
      if (left <= 0) break;
      received.push(...(await this.#claimFrom(queue, left, request)));
      if (received.length > 0 && Number.isFinite(request.maxBytes)) break;
    }
    return { received, settled };
  }

  async acknowledge(groups: readonly QueueReceipts[]): Promise<Settlements> {
    const settled = new Set<Receipt>();
    for (const { queue, receipts } of groups) {
      await this.#bundles.open(queue, receipts);
      for (const round of unambiguous(receipts)) {
        const kept = await this.#keyed(queue, round);
        const [keep, remove] = partition(round, (receipt) => kept.has(receipt.id));
        for (const receipt of await this.#settle(queue, remove, "deleteJob")) settled.add(receipt);
        for (const receipt of await this.#settle(queue, keep, "complete")) settled.add(receipt);
      }
    }
    return settled;
  }

  async giveBack(queue: QueueInfo, items: readonly GiveBack[]): Promise<Settlements> {
    const settled = new Set<Receipt>();
    const receipts = items.map((item) => item.receipt);
    await this.#bundles.open(queue, receipts);
    for (const round of unambiguous(receipts)) {
      const some = items.filter((item) => round.includes(item.receipt));
      const ids = await this.#database.inTransaction("giving messages back", async (client) => {
        const db = bossDatabase(client);
        const failed = await this.#api.call("giving messages back", (boss) =>
          boss.fail(queue.name, round.map(toAttempt), undefined, { db }),
        );
        const done = settledIds(failed);
        for (const { receipt, delayMs, patch } of some) {
          if (!done.has(receipt.id)) continue;
          const data = patch === undefined ? undefined : await this.#patched(client, queue, receipt.id, patch);
          await this.#api.call("giving messages back", (boss) =>
            boss.update(queue.name, data, { id: receipt.id, startAfter: (delayMs ?? 0) / 1000, db }),
          );
        }
        return done;
      });
      for (const receipt of round) if (ids.has(receipt.id)) settled.add(receipt);
    }
    return settled;
  }

  async deadLetter(queue: QueueInfo, dead: QueueInfo, items: readonly Burial[]): Promise<Settlements> {
    const settled = new Set<Receipt>();
    const receipts = items.map((item) => item.receipt);
    await this.#bundles.open(queue, receipts);
    for (const round of unambiguous(receipts)) {
      const some = items.filter((item) => round.includes(item.receipt));
      for (const receipt of await this.#bury(queue, dead, some)) settled.add(receipt);
    }
    return settled;
  }

  async #claimFrom(queue: QueueInfo, max: number, request: ClaimRequest): Promise<Received[]> {
    const jobs = await this.#lost.watch(request.workerId, [queue], (claim) => this.#fetch(queue, max, request.workerId, claim));
    const received = [...jobs].sort(byPrecedence).map((job) => this.#toReceived(queue, job));
    const fit = fitting(received, request.maxBytes);
    const excess = received.slice(fit).map(({ receipt }) => ({ receipt, delayMs: null, patch: undefined }));
    if (excess.length > 0) await this.giveBack(queue, excess);
    return received.slice(0, fit);
  }

  #fetch(queue: QueueInfo, max: number, workerId: string, claim: number): Promise<Job[]> {
    return this.#database.inTransaction("receiving messages", async (client) => {
      const found = await this.#api.call("receiving messages", (boss) =>
        boss.fetch(queue.name, { batchSize: max, includeMetadata: true, db: rawBossDatabase(client) }),
      );
      // Whose they are: without it nobody could take them back from a worker that died.
      if (found.length > 0) {
        await client.query(
          `UPDATE ${this.#table(queue)} SET output = $3::jsonb WHERE name = $1 AND id = ANY ($2::uuid[]) AND state = 'active'`,
          [queue.name, found.map((job) => job.id), JSON.stringify({ claimedBy: workerId, claim })],
        );
      }
      return found;
    });
  }

  #toReceived(queue: QueueInfo, job: Job): Received {
    const receipt: PgBossReceipt = {
      id: job.id,
      queue: queue.name,
      fence: job.retryCount,
      ...(job.singletonKey == null ? {} : { kept: true }),
    };
    const body = (job.data as string | null) ?? "null";
    return new LazyDelivery(receipt, job.priority, body, this.#serializer);
  }

  async #settle(queue: QueueInfo, receipts: readonly PgBossReceipt[], how: "deleteJob" | "complete"): Promise<PgBossReceipt[]> {
    if (receipts.length === 0) return [];
    const options = { db: bossDatabase(this.#database.main) };
    const attempts = receipts.map(toAttempt);
    const response = await this.#api.call("acknowledging messages", (boss) =>
      how === "complete" ? boss.complete(queue.name, attempts, undefined, options) : boss.deleteJob(queue.name, attempts, options),
    );
    const ids = settledIds(response);
    return receipts.filter((receipt) => ids.has(receipt.id));
  }

  /** Which of them have an idempotency key: their rows stay. */
  async #keyed(queue: QueueInfo, receipts: readonly PgBossReceipt[]): Promise<ReadonlySet<string>> {
    const sql = `SELECT id::text FROM ${this.#table(queue)} WHERE name = $1 AND id = ANY ($2::uuid[]) AND singleton_key IS NOT NULL`;
    const rows = await this.#database.run(
      { name: "", text: sql },
      [queue.name, receipts.map((receipt) => receipt.id)],
      "acknowledging messages",
    );
    return new Set(rows.map((row) => row[0] as string));
  }

  async #patched(client: pg.ClientBase, queue: QueueInfo, id: string, patch: RecordPatch): Promise<object | undefined> {
    const sql = `SELECT data::text AS body FROM ${this.#table(queue)} WHERE name = $1 AND id = $2::uuid`;
    const { rows } = await client.query<{ body: string | null }>(sql, [queue.name, id]);
    const record: unknown = JSON.parse(rows[0]?.body ?? "null");
    // A record that is no object has no place for a patch.
    return typeof record === "object" && record !== null && !Array.isArray(record) ? { ...record, ...patch } : undefined;
  }

  /** Out of the queue and into the dead letters in one transaction. */
  async #bury(queue: QueueInfo, dead: QueueInfo, items: readonly Burial[]): Promise<PgBossReceipt[]> {
    return this.#database.inTransaction("dead-lettering messages", async (client) => {
      const db = bossDatabase(client);
      const receipts = items.map((item) => item.receipt);
      const rows = await this.#lock(client, queue, receipts);
      // The row of an idempotency key stays behind, as in the fast lane.
      const [keep, remove] = partition(receipts, (receipt) => rows.get(receipt.id)?.singleton_key != null);
      const done = new Set<string>();
      for (const [some, how] of [
        [remove, "deleteJob"],
        [keep, "cancel"],
      ] as const) {
        if (some.length === 0) continue;
        const response = await this.#api.call("dead-lettering messages", (boss) => boss[how](queue.name, some.map(toAttempt), { db }));
        for (const id of settledIds(response)) done.add(id);
      }
      const buried = items.filter((item) => done.has(item.receipt.id));
      const copies = buried.map(({ receipt, patch, failure }) => ({ ...rows.get(receipt.id), patch: patch ?? null, failure }));
      await client.query(this.#burial(queue, dead), [JSON.stringify(copies)]);
      return buried.map((item) => item.receipt);
    });
  }

  /** Rows as they are, and as they stay until our transaction ends. */
  async #lock(client: pg.ClientBase, queue: QueueInfo, receipts: readonly Receipt[]): Promise<Map<string, MovedRow>> {
    const sql = `SELECT id::text, data::text, priority, retry_count, created_on::text, singleton_key, group_id, source_root_id::text
      FROM ${this.#table(queue)} WHERE name = $1 AND id = ANY ($2::uuid[]) FOR UPDATE`;
    const { rows } = await client.query<MovedRow>(sql, [queue.name, receipts.map((receipt) => receipt.id)]);
    return new Map(rows.map((row) => [row.id, row]));
  }

  #burial(queue: QueueInfo, dead: QueueInfo): string {
    const name = pg.escapeLiteral(dead.name);
    return `INSERT INTO ${this.#table(dead)} (id, name, data, priority, start_after, created_on, keep_until, singleton_key, group_id,
        source_name, source_id, source_created_on, source_retry_count, source_output, source_root_id, ${QUEUE_OPTIONS})
      SELECT CASE WHEN EXISTS (SELECT 1 FROM ${this.#table(dead)} o WHERE o.name = ${name} AND o.id = d.id) THEN gen_random_uuid() ELSE d.id END, ${name},
        ${patched("d.data::jsonb", "d.patch")}, d.priority, now(), now(), now() + q.retention_seconds * interval '1 s', d.singleton_key, d.group_id,
        ${pg.escapeLiteral(queue.name)}, d.id, d.created_on, d.retry_count, d.failure, coalesce(d.source_root_id, d.id), ${optionsOf("q")}
      FROM json_to_recordset($1::text::json) AS d(id uuid, data text, priority int, retry_count int, created_on timestamptz, singleton_key text, group_id text,
        source_root_id uuid, patch jsonb, failure jsonb) LEFT JOIN ${this.#schema}.queue q ON q.name = ${name}`;
  }

  #table(queue: QueueInfo): string {
    return `${this.#schema}.${queue.table}`;
  }
}

const toAttempt = (receipt: Receipt): Attempt => ({ id: receipt.id, retryCount: receipt.fence });

/** At run time the response names the ids on which the call took effect; the types do not say so. */
const settledIds = (response: unknown): ReadonlySet<string> => new Set((response as { settled?: readonly string[] }).settled ?? []);

/** pg-boss answers with ids: in one call each id may stand for one delivery only. */
function unambiguous<R extends Receipt>(receipts: readonly R[]): R[][] {
  const rounds: Map<string, R>[] = [];
  for (const receipt of receipts) {
    let round = rounds.find((each) => !each.has(receipt.id));
    if (round === undefined) {
      round = new Map();
      rounds.push(round);
    }
    round.set(receipt.id, receipt);
  }
  return rounds.map((round) => [...round.values()]);
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

/** The order of a fetch is that of its plan. Times are text here, in one zone and format. */
function byPrecedence(a: Job, b: Job): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  const [timeA, timeB] = [String(a.createdOn), String(b.createdOn)];
  if (timeA !== timeB) return timeA < timeB ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

/** How many fit; the first always does. */
function fitting(received: readonly Received[], maxBytes: number): number {
  let bytes = 0;
  for (const [i, each] of received.entries()) {
    bytes += Buffer.byteLength(each.body);
    if (i > 0 && bytes > maxBytes) return i;
  }
  return received.length;
}
