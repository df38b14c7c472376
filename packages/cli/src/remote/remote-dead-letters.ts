import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetterGroupFilter,
  type DeadLetterGroups,
  type DeadLetterPage,
  Envelope,
  MessengerError,
  NO_TRIES,
  type Stamp,
  stamps,
} from "@symphony/core";
import { codeOf } from "../exit-codes.ts";
import type { FailedMessage } from "../failed-message.ts";
import type { AdminClient } from "./admin-client.ts";
import { notHere } from "./not-here.ts";

const PATH = "/api/symphony/failed";
/** Messages in one answer, at most. */
const PAGE = 200;
/** Requests for single messages under way at a time. */
const AT_ONCE = 8;

interface FailedPage {
  readonly messages: readonly FailedMessage[];
  readonly pagination: { readonly total: number; readonly accuracy: DeadLetterPage["accuracy"]; readonly nextCursor: string | null };
}

interface Page {
  readonly limit: number;
  readonly offset?: number;
  readonly cursor?: string;
}

/** Failed messages of one transport, through the admin API. */
export class RemoteDeadLetters {
  readonly #client: AdminClient;
  readonly #transport: string;

  constructor(client: AdminClient, transport: string) {
    this.#client = client;
    this.#transport = transport;
  }

  async list({ ids, queues, ...filter }: DeadLetterFilter, page: Page): Promise<DeadLetterPage> {
    if (queues !== undefined) return notHere();
    if (ids !== undefined) {
      const found = (await eachOf(ids, (id) => this.#find(id))).flatMap((message) => message ?? []);
      const deadLetters = found.slice(page.offset ?? 0, (page.offset ?? 0) + page.limit).map(toDeadLetter);
      return { deadLetters, total: found.length, accuracy: "exact", nextCursor: null };
    }
    const query = { ...filter, ...page, limit: Math.min(page.limit, PAGE), transport: this.#transport };
    const { messages, pagination } = await this.#client.get<FailedPage>(PATH, query);
    const { total, accuracy, nextCursor } = pagination;
    return { deadLetters: messages.map(toDeadLetter), total, accuracy, nextCursor };
  }

  async groups({ queues, ...filter }: DeadLetterGroupFilter, limit: number): Promise<DeadLetterGroups> {
    if (queues !== undefined) return notHere();
    const { groups, hasMore } = await this.#client.get<DeadLetterGroups>(`${PATH}/groups`, {
      ...filter,
      limit,
      transport: this.#transport,
    });
    return { groups, hasMore };
  }

  async redrive(filter: DeadLetterFilter, limit: number): Promise<{ redriven: readonly string[]; conflicts: readonly string[] }> {
    const conflicts: string[] = [];
    const redriven = await this.#eachOf(filter, limit, conflicts, (id, query) =>
      this.#client.post(`${PATH}/${encodeURIComponent(id)}/retry`, undefined, query),
    );
    return { redriven, conflicts };
  }

  async remove(filter: DeadLetterFilter, limit: number): Promise<{ removed: readonly string[] }> {
    return {
      removed: await this.#eachOf(filter, limit, [], (id, query) => this.#client.delete(`${PATH}/${encodeURIComponent(id)}`, query)),
    };
  }

  /** Does it to each message that is found; those that somebody else was faster with are left out. */
  async #eachOf(
    filter: DeadLetterFilter,
    limit: number,
    conflicts: string[],
    work: (id: string, query: { transport: string }) => Promise<unknown>,
  ): Promise<readonly string[]> {
    const { deadLetters } = await this.list(filter, { limit });
    const done = await eachOf(deadLetters, async ({ id }) => {
      try {
        await work(id, { transport: this.#transport });
        return id;
      } catch (error) {
        const code = codeOf(error);
        if (code === "CONFLICT") conflicts.push(id);
        else if (code !== "DEAD_LETTER_NOT_FOUND") throw error;
        return undefined;
      }
    });
    return done.flatMap((id) => id ?? []);
  }

  async #find(id: string): Promise<FailedMessage | undefined> {
    try {
      const query = { transport: this.#transport };
      return (await this.#client.get<{ message: FailedMessage }>(`${PATH}/${encodeURIComponent(id)}`, query)).message;
    } catch (error) {
      if (error instanceof MessengerError && error.code === "DEAD_LETTER_NOT_FOUND") return undefined;
      throw error;
    }
  }
}

/** Some at a time, results in order. */
async function eachOf<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < items.length; i += AT_ONCE) results.push(...(await Promise.all(items.slice(i, i + AT_ONCE).map(work))));
  return results;
}

function toDeadLetter(message: FailedMessage): DeadLetter {
  const { id, type, queue, priority, failedAt, attempts, reason, error, fingerprint } = message;
  return {
    id,
    type,
    queue,
    priority,
    failedAt,
    body: message.body ?? JSON.stringify(message.payload ?? null),
    ...(message.body !== undefined || type === null ? {} : { envelope: toEnvelope(message, type) }),
    failure: { reason, error, fingerprint, attempts, workerId: "" },
  };
}

function toEnvelope(message: FailedMessage, type: string): Envelope {
  const carried: Stamp[] = [
    stamps.messageId({ id: message.id }),
    stamps.headers(message.headers),
    stamps.metadata(message.metadata),
    stamps.redelivery({ tries: NO_TRIES, history: message.history as never, handled: [] }),
  ];
  if (message.dispatchedAt !== null) carried.push(stamps.dispatched({ at: Date.parse(message.dispatchedAt) }));
  if (message.idempotencyKey !== undefined) carried.push(stamps.idempotencyKey({ key: message.idempotencyKey }));
  return Envelope.wrap({ type, payload: message.payload }, carried);
}
