import {
  type Auditable,
  type AuditEntry,
  type AuditedResult,
  type AuditPage,
  type Cancellable,
  type Cancellation,
  type Countable,
  type DeadLetterFilter,
  type DeadLetterGroupFilter,
  type Findable,
  type Groupable,
  type Listable,
  type MessageWhereabouts,
  MessengerError,
  type Pausable,
  type Pause,
  type PauseTarget,
  type Purgeable,
  type PurgeOptions,
  type QueueCounts,
  type Reapable,
  type Redrivable,
  type Transport,
  type WorkerRow,
} from "@symphony/core";
import type { Stoppable } from "../stop-requests.ts";
import { type AdminClient, RefusedError } from "./admin-client.ts";
import { notHere } from "./not-here.ts";
import { RemoteDeadLetters } from "./remote-dead-letters.ts";
import { RemoteRedrives } from "./remote-redrives.ts";

export type QueueOf = QueueCounts & { readonly transport: string; readonly paused: boolean; readonly pausedTypes: readonly string[] };

interface Shown {
  readonly message: Omit<MessageWhereabouts, "state"> & { readonly state: MessageWhereabouts["state"] | "unknown" };
}

interface Cancelled {
  readonly queue: string;
  readonly outcome: "removed" | "interrupted";
  readonly workerId: string | null;
}

const messagePath = (id: string): string => `/api/symphony/messages/${encodeURIComponent(id)}`;
const queuePath = (queue: string, what: string): string => `/api/symphony/queues/${encodeURIComponent(queue)}/${what}`;

/**
 * One transport of an admin API, with what operators do: look, retry, remove, pause, purge, cancel. The other end says who we
 * are, and keeps the record of what we do. Messages are neither sent nor received through it.
 */
export class RemoteTransport
  implements
    Transport,
    Countable,
    Listable,
    Groupable,
    Reapable,
    Pausable,
    Purgeable,
    Findable,
    Cancellable,
    Auditable,
    Redrivable,
    Stoppable
{
  readonly redrives: RemoteRedrives;
  readonly #client: AdminClient;
  readonly #name: string;
  readonly #deadLetters: RemoteDeadLetters;

  constructor(client: AdminClient, name: string) {
    this.#client = client;
    this.#name = name;
    this.#deadLetters = new RemoteDeadLetters(client, name);
    this.redrives = new RemoteRedrives(client, name);
  }

  async getCounts(): Promise<readonly QueueCounts[]> {
    return (await this.#queues()).map(({ transport: _, paused: __, pausedTypes: ___, ...counts }) => counts);
  }

  async getQueueDepth(): Promise<number> {
    return (await this.#queues()).reduce((sum, { ready }) => sum + ready, 0);
  }

  listDeadLetters(filter: DeadLetterFilter, page: { limit: number; offset?: number; cursor?: string }) {
    return this.#deadLetters.list(filter, page);
  }

  redriveDeadLetters(filter: DeadLetterFilter, limit: number) {
    return this.#deadLetters.redrive(filter, limit);
  }

  removeDeadLetters(filter: DeadLetterFilter, limit: number) {
    return this.#deadLetters.remove(filter, limit);
  }

  groupDeadLetters(filter: DeadLetterGroupFilter, limit: number) {
    return this.#deadLetters.groups(filter, limit);
  }

  async listWorkers(): Promise<readonly WorkerRow[]> {
    const { workers } = await this.#client.get<{ workers: readonly (WorkerRow & { transport: string })[] }>(
      "/api/symphony/workers",
      this.#here,
    );
    return workers.map(({ transport: _, ...row }) => row);
  }

  async stopWorkers(): Promise<number> {
    return (await this.#client.post<{ workers: number }>("/api/symphony/workers/stop", undefined, this.#here)).workers;
  }

  async pauseQueue({ queue, type }: PauseTarget): Promise<void> {
    await this.#client.post(queuePath(queue, "pause"), { ...(type === undefined ? {} : { type }) }, this.#here);
  }

  async resumeQueue({ queue, type }: PauseTarget): Promise<boolean> {
    const was = (await this.listPauses()).some((pause) => pause.queue === queue && pause.type === type);
    await this.#client.post(queuePath(queue, "resume"), { ...(type === undefined ? {} : { type }) }, this.#here);
    return was;
  }

  /** The other end does not tell since when and by whom; its audit does. */
  async listPauses(): Promise<readonly Pause[]> {
    const unknown = { pausedAt: "", pausedBy: null };
    return (await this.#queues()).flatMap(({ queue, paused, pausedTypes }) => [
      ...(paused ? [{ queue, ...unknown }] : []),
      ...pausedTypes.map((type) => ({ queue, type, ...unknown })),
    ]);
  }

  /** Asks for a purge without a confirmation, which is refused with the number. */
  async countPurgeable({ queue, type }: PauseTarget): Promise<number> {
    const counts = (await this.#queues()).find((each) => each.queue === queue);
    if (counts === undefined) throw new MessengerError("QUEUE_NOT_FOUND", `the queue "${queue}" does not exist`, { details: { queue } });
    try {
      await this.#client.post(queuePath(queue, "purge"), { ...(type === undefined ? {} : { type }) }, this.#here);
    } catch (error) {
      const told = error instanceof RefusedError ? error.issues.find(({ path }) => path === "expectedCount") : undefined;
      if (told === undefined) throw error;
      return Number(/\d+/.exec(told.message)?.[0]);
    }
    throw new MessengerError("CAPABILITY_MISSING", "the admin API purges without a confirmation: it is of another version");
  }

  async purgeQueue(queue: string, { type, expectedCount }: PurgeOptions = {}): Promise<{ readonly removed: number }> {
    const only = type === undefined ? {} : { type };
    const expected = expectedCount ?? (await this.countPurgeable({ queue, ...only }));
    const { removed } = await this.#client.post<{ removed: number }>(
      queuePath(queue, "purge"),
      { ...only, confirm: queue, expectedCount: expected },
      this.#here,
    );
    return { removed };
  }

  async findMessage(id: string): Promise<MessageWhereabouts | undefined> {
    const { message } = await this.#client.get<Shown>(messagePath(id), this.#here);
    const { state, type, queue, priority, at, workerId, cancelledBy } = message;
    return state === "unknown" ? undefined : { id, state, type, queue, priority, at, workerId, cancelledBy };
  }

  async cancelMessage(id: string): Promise<Cancellation> {
    try {
      const { queue, outcome, workerId } = await this.#client.post<Cancelled>(`${messagePath(id)}/cancel`, undefined, this.#here);
      return outcome === "removed" ? { kind: "removed", queue } : { kind: "interrupted", queue, workerId };
    } catch (error) {
      const found = error instanceof RefusedError && error.code === "CONFLICT" ? await this.findMessage(id) : undefined;
      if (found?.state === "failed" || found?.state === "handled" || found?.state === "cancelled")
        return { kind: "over", queue: found.queue, state: found.state };
      throw error;
    }
  }

  /** The other end records what is done there. */
  async audited<T>(_entry: AuditEntry, work: () => Promise<AuditedResult<T>>): Promise<{ value: T; auditId: string }> {
    return { value: (await work()).value, auditId: "" };
  }

  async listAudit(page: { limit: number; cursor?: string }): Promise<AuditPage> {
    type Listed = Pick<AuditPage, "records"> & { readonly pagination: Pick<AuditPage, "nextCursor"> };
    const { records, pagination } = await this.#client.get<Listed>("/api/symphony/audit", { ...page, ...this.#here });
    return { records, nextCursor: pagination.nextCursor };
  }

  async undoAudited(id: string): ReturnType<Auditable["undoAudited"]> {
    const path = `/api/symphony/audit/${encodeURIComponent(id)}/undo`;
    const { auditId, restored, conflicts } = await this.#client.post<Awaited<ReturnType<Auditable["undoAudited"]>>>(
      path,
      undefined,
      this.#here,
    );
    return { auditId, restored, conflicts };
  }

  readonly send = notHere;
  readonly findCancelled = notHere;
  readonly onCancel = notHere;
  readonly receive = notHere;
  readonly acknowledge = notHere;
  readonly reject = notHere;
  readonly beat = notHere;
  readonly reap = notHere;
  readonly retire = notHere;
  readonly recordRefusal = notHere;
  readonly tidyAudit = notHere;

  get #here(): { transport: string } {
    return { transport: this.#name };
  }

  async #queues(): Promise<readonly QueueOf[]> {
    return (await this.#client.get<{ queues: readonly QueueOf[] }>("/api/symphony/queues", this.#here)).queues;
  }
}
