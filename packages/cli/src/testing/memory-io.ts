import { Readable } from "node:stream";
import { systemClock } from "@symphony/core";
import type { Environment } from "../environment.ts";
import type { ProcessIo } from "../io.ts";

export interface MemoryIo extends ProcessIo {
  readonly output: () => string;
  readonly errors: () => string;
}

/** A process of one's own: nothing is inherited. */
export function memoryIo(o: {
  input?: string;
  environment?: Environment;
  directory: string;
  interactive?: boolean;
  signal?: AbortSignal;
}): MemoryIo {
  const out: string[] = [];
  const err: string[] = [];
  return {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    output: () => out.join(""),
    errors: () => err.join(""),
    input: Readable.from(o.input === undefined ? [] : [Buffer.from(o.input)]),
    environment: o.environment ?? {},
    directory: o.directory,
    interactive: o.interactive ?? false,
    outIsTerminal: false,
    signal: o.signal ?? new AbortController().signal,
    clock: systemClock,
    releaseSignals: () => undefined,
    lastWords: () => undefined,
  };
}
