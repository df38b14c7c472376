import { AsyncLocalStorage } from "node:async_hooks";
import { AUDIT_DAYS, type AuditEntry, type AuditPage, type AuditRecord, TRASH_DAYS, UNDO_AT_ONCE } from "../../audit.ts";
import type { Clock } from "../../clock.ts";
import { OptionsError } from "../../errors.ts";

const DAY_MS = 86_400_000;

/** Puts one removed message back; false: it is there again, or its queue is gone. */
export type PutBack = () => boolean;

interface Trashed {
  readonly at: number;
  puttingBack: PutBack[];
}

/** Who did what to the messages of a store, and what was removed on the way. */
export class MemoryAudit {
  readonly #clock: Clock;
  readonly #action = new AsyncLocalStorage<string>();
  readonly #trash = new Map<string, Trashed>();
  /** Oldest first. */
  #records: Omit<AuditRecord, "undoable">[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The action in progress, if any. */
  get action(): string | undefined {
    return this.#action.getStore();
  }

  /** Runs `work` as the action `id`: what it removes goes to the trash. */
  during<T>(id: string, work: () => Promise<T>): Promise<T> {
    return this.#action.run(id, work);
  }

  /** For whoever removes a message: in an action it can be put back. */
  removed(putBack: PutBack): void {
    const id = this.#action.getStore();
    if (id === undefined) return;
    const trashed = this.#trash.get(id) ?? { at: this.#clock.now(), puttingBack: [] };
    trashed.puttingBack.push(putBack);
    this.#trash.set(id, trashed);
  }

  write({ actor, action, parameters, requestId, target }: AuditEntry, about: { id: string; count: number; outcome: string }): void {
    const at = new Date(this.#clock.now()).toISOString();
    const given = structuredClone({ actor, action, target: target ?? null, parameters: parameters ?? {}, requestId: requestId ?? null });
    this.#records.push({ ...about, at, ...given });
  }

  has(id: string): boolean {
    return this.#records.some((record) => record.id === id);
  }

  list({ limit, cursor, id }: { limit: number; cursor?: string; id?: string }): AuditPage {
    if (id !== undefined) return { records: this.#shown(this.#records.filter((record) => record.id === id)), nextCursor: null };
    const before = cursor === undefined ? this.#records.length : this.#records.findIndex((record) => record.id === cursor);
    if (before < 0) throw new OptionsError("cursor", cursor, "must be the nextCursor of a page");
    const from = Math.max(0, before - limit);
    const records = this.#shown(this.#records.slice(from, before).reverse());
    return { records, nextCursor: from > 0 ? (records.at(-1)?.id ?? null) : null };
  }

  #shown(records: readonly Omit<AuditRecord, "undoable">[]): AuditRecord[] {
    return records.map((record) => ({ ...record, undoable: this.#trash.has(record.id) }));
  }

  /** Puts back what is in the trash of an action. */
  bringBack(id: string): { restored: number; conflicts: number } {
    const trashed = this.#trash.get(id);
    if (trashed === undefined) return { restored: 0, conflicts: 0 };
    const now = trashed.puttingBack.slice(0, UNDO_AT_ONCE);
    const conflicts = now.filter((putBack) => !putBack());
    trashed.puttingBack = [...conflicts, ...trashed.puttingBack.slice(UNDO_AT_ONCE)];
    if (trashed.puttingBack.length === 0) this.#trash.delete(id);
    return { restored: now.length - conflicts.length, conflicts: conflicts.length };
  }

  tidy(): number {
    const now = this.#clock.now();
    const old = [...this.#trash].filter(([, trashed]) => trashed.at < now - TRASH_DAYS * DAY_MS);
    for (const [id] of old) this.#trash.delete(id);
    const kept = this.#records.filter((record) => Date.parse(record.at) >= now - AUDIT_DAYS * DAY_MS);
    const forgotten = this.#records.length - kept.length + old.reduce((sum, [, { puttingBack }]) => sum + puttingBack.length, 0);
    this.#records = kept;
    return forgotten;
  }

  clear(): void {
    this.#records = [];
    this.#trash.clear();
  }
}
