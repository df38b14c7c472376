import { closeSync, existsSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
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
  | ToldEntry
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

/** A worker process of a fleet has been told to stop: from here on it has no reason to receive. */
export interface ToldEntry {
  readonly kind: "told";
  readonly pid: number;
  readonly at: number;
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

/** Reads on from where it was, so that a long run can look often. */
export class JournalReader {
  readonly #path: string;
  readonly #entries: JournalEntry[] = [];
  #offset = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** All entries up to now, in the order in which they were written. */
  read(): readonly JournalEntry[] {
    const bytes = readFrom(this.#path, this.#offset);
    // A line that is being written while we read may be seen in part: it is there the next time.
    const whole = bytes.subarray(0, bytes.lastIndexOf(NEWLINE) + 1);
    this.#offset += whole.length;
    for (const line of whole.toString("utf8").split("\n")) if (line !== "") this.#entries.push(JSON.parse(line) as JournalEntry);
    return this.#entries;
  }
}

const NEWLINE = 10;

function readFrom(path: string, offset: number): Buffer {
  if (!existsSync(path)) return Buffer.alloc(0);
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - offset));
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset));
  } finally {
    closeSync(file);
  }
}

export const readJournal = (path: string): readonly JournalEntry[] => new JournalReader(path).read();
