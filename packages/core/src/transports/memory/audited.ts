import type { Auditable, AuditEntry, AuditedResult, AuditPage } from "../../audit.ts";
import { MessengerError } from "../../errors.ts";
import { MemoryFleet } from "./fleet.ts";

/** The part of a memory transport that remembers who did what. */
export abstract class MemoryAudited extends MemoryFleet implements Auditable {
  protected abstract newId(): string;

  async audited<T>(entry: AuditEntry, work: () => Promise<AuditedResult<T>>): Promise<{ value: T; auditId: string }> {
    this.assertOpen();
    const { audit } = this.store;
    const id = this.newId();
    const { value, count, target = entry.target } = await audit.during(id, work);
    audit.write(target === undefined ? entry : { ...entry, target }, { id, count, outcome: "done" });
    return { value, auditId: id };
  }

  async recordRefusal(entry: AuditEntry, outcome: string): Promise<void> {
    this.assertOpen();
    this.store.audit.write(entry, { id: this.newId(), count: 0, outcome });
  }

  async listAudit(page: { limit: number; cursor?: string; id?: string }): Promise<AuditPage> {
    this.assertOpen();
    return this.store.audit.list(page);
  }

  async undoAudited(id: string, entry: AuditEntry): Promise<{ restored: number; conflicts: number; auditId: string }> {
    this.assertOpen();
    const { audit } = this.store;
    if (!audit.has(id)) throw new MessengerError("AUDIT_NOT_FOUND", `no action is recorded as ${id}`, { details: { id } });
    const { value, auditId } = await this.audited(entry, async () => {
      const done = audit.bringBack(id);
      if (done.restored + done.conflicts === 0)
        throw new MessengerError("UNDO_IMPOSSIBLE", `nothing that the action ${id} removed is in the trash`, { details: { id } });
      return { value: done, count: done.restored };
    });
    return { ...value, auditId };
  }

  async tidyAudit(): Promise<number> {
    this.assertOpen();
    return this.store.audit.tidy();
  }
}
