import { inspect } from "node:util";
import { type Logger, toErrorRecord } from "@symphony/core";
import { LOG_LEVELS, type LogLevel, type LogRecord } from "./thread-protocol.ts";

/** Records that may be on their way to the main thread; more are dropped and counted, so that a flood costs no memory. */
const MAX_UNWRITTEN = 2_000;
/** Characters of one record's fields: four stored errors. */
const MAX_FIELD_CHARS = 65_536;

/** Writes into the log of the main thread. */
export class ThreadLog {
  readonly #level: number;
  readonly #post: (record: LogRecord) => void;
  #unwritten = 0;
  #dropped = 0;

  constructor(level: LogLevel, post: (record: LogRecord) => void) {
    this.#level = LOG_LEVELS.indexOf(level);
    this.#post = post;
  }

  get logger(): Logger {
    return this.#make({});
  }

  /** The main thread has written so many. */
  written(count: number): void {
    this.#unwritten -= count;
    if (this.#dropped === 0) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.#write("warn", { dropped }, "log records of a thread were dropped: it logs faster than they can be written");
  }

  #make(bound: object): Logger {
    const at =
      (level: LogLevel) =>
      (fields: object | string, message?: string): void =>
        this.#write(level, typeof fields === "string" ? bound : { ...bound, ...fields }, typeof fields === "string" ? fields : message);
    return {
      trace: at("trace"),
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      fatal: at("fatal"),
      child: (fields) => this.#make({ ...bound, ...fields }),
    };
  }

  #write(level: LogLevel, fields: object, message: string | undefined): void {
    if (LOG_LEVELS.indexOf(level) < this.#level) return;
    if (this.#unwritten >= MAX_UNWRITTEN) {
      this.#dropped += 1;
      return;
    }
    this.#unwritten += 1;
    this.#post([level, toJson(fields), message]);
  }
}

/** Never throws: a log call must not fail the handler that makes it. */
function toJson(fields: object): string {
  let json: string;
  try {
    json = JSON.stringify(fields, (_key, value: unknown) =>
      value instanceof Error ? toErrorRecord(value) : typeof value === "bigint" ? `${value}` : value,
    );
  } catch {
    json = JSON.stringify({ fields: inspect(fields, { depth: 2, maxStringLength: 1_000, maxArrayLength: 20 }) });
  }
  return json.length <= MAX_FIELD_CHARS ? json : JSON.stringify({ truncated: json.slice(0, MAX_FIELD_CHARS) });
}
