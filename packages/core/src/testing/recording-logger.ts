import type { Logger } from "../logger.ts";

export interface LogRecord {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "fatal";
  /** Fields of the call over those of the child loggers. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string | undefined;
}

export interface RecordingLogger extends Logger {
  /** Of this logger and its children, oldest first. */
  readonly records: readonly LogRecord[];
  /** Messages of one level. */
  messages(level: LogRecord["level"]): readonly string[];
  child(fields: Record<string, unknown>): RecordingLogger;
}

/** A logger that keeps what it was told. */
export function createRecordingLogger(): RecordingLogger {
  return recorder({}, []);
}

function recorder(bound: Readonly<Record<string, unknown>>, records: LogRecord[]): RecordingLogger {
  const at =
    (level: LogRecord["level"]) =>
    (fields: object, message?: string): void => {
      records.push({ level, fields: { ...bound, ...fields }, message });
    };
  return {
    records,
    messages: (level) => records.filter((record) => record.level === level).map((record) => record.message ?? ""),
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    fatal: at("fatal"),
    child: (fields) => recorder({ ...bound, ...fields }, records),
  };
}
