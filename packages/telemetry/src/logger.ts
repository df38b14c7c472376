import { createRequire } from "node:module";
import { type Clock, systemClock } from "@symphony/core";
import { type ChildLoggerOptions, type DestinationStream, type Logger as PinoLogger, pino, stdSerializers, stdTimeFunctions } from "pino";
import { hideSecrets } from "./hide-secrets.ts";
import { LineWriter } from "./line-writer.ts";
import { LOG_FIELDS } from "./names.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LoggerOptions {
  /** Least level that is written. Default "info". */
  readonly level?: LogLevel;
  /** One readable line instead of JSON. Default: when the destination is a terminal. */
  readonly pretty?: boolean;
  /** Colours in readable lines. Default: when the destination is a terminal. */
  readonly colour?: boolean;
  /** File descriptor, path (appended to), or anything with `write`. Default 1, standard output. */
  readonly destination?: number | string | DestinationStream;
  /** Write each line at once. Default: for readable lines; JSON lines are gathered for up to 100 ms, and flushed on exit. */
  readonly sync?: boolean;
  /** Fields on every line beside `worker_pid`. Default `{ service: "symphony" }`. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
}

/** A pino logger that is core's `Logger` as well. */
export interface SymphonyLogger extends PinoLogger {
  /** Everything logged so far is with the operating system when this returns. Also done on exit. */
  flushSync(): void;
}

/**
 * Makes the logger of a process: JSON lines with `time` as RFC 3339 in UTC and `level` as a word.
 *
 * Lines are not lost on a normal exit nor on an uncaught exception; see `LineWriter` for what a slow or closed reader
 * means. `err` and `error` fields are written with stack and causes; the values of fields that are called `password`,
 * `token` and the like are hidden.
 */
export function createLogger(options: LoggerOptions = {}): SymphonyLogger {
  const destination = options.destination ?? 1;
  const terminal = typeof destination === "number" && isTerminal(destination);
  const isPretty = options.pretty ?? terminal;
  const writer =
    typeof destination === "object"
      ? destination
      : new LineWriter({ target: destination, sync: options.sync ?? isPretty, clock: options.clock ?? systemClock });
  const stream = isPretty ? prettyStream(writer, options.colour ?? terminal) : writer;
  // An `ErrorRecord` is plain data already; taken for an error it would be shown as one of the class Object.
  const error = (value: unknown): unknown => (value instanceof Error ? stdSerializers.errWithCause(value) : value);
  const logger = pino(
    {
      level: options.level ?? "info",
      base: { ...(options.fields ?? { service: "symphony" }), [LOG_FIELDS.workerPid]: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: hideSecrets },
      serializers: { err: error, error },
    },
    stream,
  );
  // On the root, from which all children inherit it: pino does not pass their fields through the formatters.
  const child: (this: unknown, fields: Record<string, unknown>, options?: ChildLoggerOptions) => PinoLogger = logger.child;
  return Object.assign(logger, {
    child(this: unknown, fields: Record<string, unknown>, options?: ChildLoggerOptions) {
      return child.call(this, hideSecrets(fields), options);
    },
    flushSync: () => {
      if (writer instanceof LineWriter) writer.flushSync();
    },
  }) as unknown as SymphonyLogger;
}

function isTerminal(fd: number): boolean {
  if (fd === 1) return process.stdout.isTTY === true;
  if (fd === 2) return process.stderr.isTTY === true;
  return false;
}

// As a function and not as pino's transport: a stream in another thread would lose the last lines on exit.
function prettyStream(writer: DestinationStream, colorize: boolean): DestinationStream {
  // Loaded for people only: half a hundred files that a worker never needs.
  const { prettyFactory } = createRequire(import.meta.url)("pino-pretty") as typeof import("pino-pretty");
  const format = prettyFactory({
    colorize,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: `${LOG_FIELDS.workerPid},service`,
    singleLine: true,
    errorLikeObjectKeys: ["err", "error"],
  });
  return { write: (line) => writer.write(format(line)) };
}
