import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { performance } from "node:perf_hooks";

/**
 * What happened, in the words of those whom it happened to: kept outside the database under test, one JSON line each, in
 * a file that all processes append to. `value` is `writer-counter`, the message's name from dispatch to handler.
 */
export type JournalEntry =
  | { readonly kind: "invoke"; readonly value: string; readonly at: number }
  /** The dispatch was confirmed. */
  | { readonly kind: "ok"; readonly value: string; readonly id: string; readonly at: number }
  /** Nobody can say whether the dispatch took effect. */
  | { readonly kind: "unknown"; readonly value: string; readonly error: string; readonly at: number }
  /** The dispatch surely did not take effect. */
  | { readonly kind: "refused"; readonly value: string; readonly error: string; readonly at: number }
  | RunEntry
  | { readonly kind: "fault"; readonly fault: Fault };

/** `start` and `end` of one handler run; `threw`: it ended on purpose with an error. */
export interface RunEntry {
  readonly kind: "start" | "end" | "threw";
  readonly value: string;
  readonly id: string;
  readonly attempt: number;
  readonly pid: number;
  readonly thread: number;
  readonly at: number;
  /** What the handler of an echo was given, as JSON. */
  readonly seen?: string;
}

/** What was done to the system, for the checker to explain what it sees. */
export interface Fault {
  readonly name: string;
  readonly from: number;
  /** Infinity is written as null: never healed. Equal to `from` for what happens at once. */
  readonly until: number | null;
  /** Whom it hit; absent: everyone. */
  readonly pids?: readonly number[];
  /** Whether a message may meanwhile run twice at the same time, as when its worker is frozen or cut off. */
  readonly overlap?: boolean;
}

export interface Journal {
  readonly path: string;
  write(entry: JournalEntry): void;
  close(): void;
}

/** Milliseconds since 1970 from the monotonic clock: comparable between the processes of one machine, and fine-grained. */
export const now = (): number => performance.timeOrigin + performance.now();

/** One `write` per line and O_APPEND: lines of several processes never mix, and a SIGKILL leaves whole lines behind. */
export function openJournal(path: string): Journal {
  const file = openSync(path, "a");
  return {
    path,
    write: (entry) => {
      writeSync(file, `${JSON.stringify(entry)}\n`);
    },
    close: () => closeSync(file),
  };
}

export function readJournal(path: string): JournalEntry[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  // A line that is being written while we read may be seen in part: it is there the next time.
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JournalEntry);
}
