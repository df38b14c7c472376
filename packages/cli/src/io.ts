import type { Readable } from "node:stream";
import { type Clock, systemClock } from "@symphony/core";
import type { Environment } from "./environment.ts";
import { leaveLastWords } from "./termination-log.ts";

/** What a command needs of the process it runs in. */
export interface Io {
  /** Results. Never mixed with logs: those of all commands but `consume` and `dev` go to standard error. */
  out(text: string): void;
  err(text: string): void;
  readonly input: Readable;
  readonly environment: Environment;
  readonly directory: string;
  /** Somebody can be asked: standard input and standard error are terminals. */
  readonly interactive: boolean;
  readonly outIsTerminal: boolean;
  /** Aborts on the first SIGINT or SIGTERM, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

export interface ProcessIo extends Io {
  /** `consume` and `dev` handle signals themselves. */
  releaseSignals(): void;
  /** Why the command failed, for whoever looks at the container afterwards. */
  lastWords(text: string): void;
}

const STOP_SIGNALS = ["SIGINT", "SIGTERM"] as const;

export function processIo(): ProcessIo {
  const controller = new AbortController();
  // Taken once: a second signal ends the process in the default way.
  const stop = (): void => {
    releaseSignals();
    controller.abort();
  };
  const releaseSignals = (): void => {
    for (const signal of STOP_SIGNALS) process.off(signal, stop);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // `symphony status --watch | head`: nobody reads on, which is no failure of ours.
      if (error.code !== "EPIPE") throw error;
      controller.abort();
    });
  }
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    input: process.stdin,
    environment: process.env,
    directory: process.cwd(),
    interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    outIsTerminal: process.stdout.isTTY === true,
    signal: controller.signal,
    clock: systemClock,
    releaseSignals,
    lastWords: (text) => leaveLastWords(text),
  };
}
