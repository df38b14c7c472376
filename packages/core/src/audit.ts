import type { Receiver, Sender, Transport } from "./transport.ts";

/** Who did something, as the tool knows them that they used. */
export interface Actor {
  /** Of the token, the subject of a JWT, or the user of the operating system. */
  readonly name: string;
  readonly kind: "token" | "jwt" | "cron" | "cli";
  /** First digits of the credential's digest: tells two tokens of one name apart. */
  readonly tokenId?: string;
  /** Where the request came from, or the host of the command line. */
  readonly address?: string;
}

/** What somebody does, before it is known how it ends. */
export interface AuditEntry {
  readonly actor: Actor;
  /** A short verb: `retry`, `remove`, `purge`. */
  readonly action: string;
  /** The message or queue that is meant; absent when it is a selection. */
  readonly target?: string;
  /** Filter and options as they were given; plain data, never a payload. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly requestId?: string;
}

export interface AuditedResult<T> {
  readonly value: T;
  /** Messages that were changed. */
  readonly count: number;
  /** Replaces the entry's, for what is known only afterwards. */
  readonly target?: string;
}

/** One action, as it is remembered. */
export interface AuditRecord {
  readonly id: string;
  /** RFC 3339, the store's clock. */
  readonly at: string;
  readonly actor: Actor;
  readonly action: string;
  readonly target: string | null;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly requestId: string | null;
  readonly count: number;
  /** `done`, or the code of the error that it ended with. */
  readonly outcome: string;
  /** What it removed is still in the trash, all or part of it. */
  readonly undoable: boolean;
}

export interface AuditPage {
  readonly records: readonly AuditRecord[];
  readonly nextCursor: string | null;
}

/** Days for which what was removed in an audited action can be brought back. */
export const TRASH_DAYS = 7;
/** Days for which the record of an action is kept. */
export const AUDIT_DAYS = 90;
/** Messages that one `undoAudited` brings back at most: a transaction must end. */
export const UNDO_AT_ONCE = 10_000;

/** Remembers who did what, and can take back what was removed. An optional capability of a transport. */
export interface Auditable {
  /**
   * Does `work` and records it, in one commit: what `work` changes through this transport is there if and only if the
   * record is. Messages that `work` removes go to the trash of the record.
   *
   * When `work` throws, nothing is recorded, and a store with transactions takes back what it did.
   *
   * @throws {MessengerError} `AUDIT_FAILED` the record could not be written: nothing was changed.
   * @throws whatever `work` throws.
   */
  audited<T>(entry: AuditEntry, work: () => Promise<AuditedResult<T>>): Promise<{ readonly value: T; readonly auditId: string }>;
  /** Records what was tried and did not happen. `outcome`: the code of the refusal. */
  recordRefusal(entry: AuditEntry, outcome: string): Promise<void>;
  /** Newest first, at most `limit` (1 to 200). `id`: that record only. */
  listAudit(page: { limit: number; cursor?: string; id?: string }): Promise<AuditPage>;
  /**
   * Brings back up to `UNDO_AT_ONCE` of the messages that an action removed, each to where it was and as it was; audited
   * itself. A message that is there again meanwhile stays as it is, and its copy stays in the trash (`conflicts`).
   *
   * @throws {MessengerError} `AUDIT_NOT_FOUND`, `UNDO_IMPOSSIBLE` when nothing of it is in the trash.
   */
  undoAudited(id: string, entry: AuditEntry): Promise<{ readonly restored: number; readonly conflicts: number; readonly auditId: string }>;
  /** Forgets what is older than `TRASH_DAYS` and `AUDIT_DAYS`, some thousand at a time; resolves with how many. */
  tidyAudit(): Promise<number>;
}

const METHODS = ["audited", "recordRefusal", "listAudit", "undoAudited", "tidyAudit"] as const;

export const isAuditable = <T extends Transport | Sender | Receiver>(transport: T): transport is T & Auditable =>
  METHODS.every((method) => typeof (transport as unknown as Record<string, unknown>)[method] === "function");
