import type { Readable } from "node:stream";

/** One line of input: its text, or why it has none. */
export interface Line {
  /** 1-based */
  readonly number: number;
  readonly text?: string;
  readonly problem?: string;
}

const NEWLINE = 0x0a;

/**
 * Splits a stream into lines, holding at most `maxBytes` of it: a longer line becomes a problem instead of filling the
 * memory. What is not UTF-8 is a problem as well. Empty lines are left out, but counted.
 */
export async function* linesOf(input: Readable, maxBytes: number): AsyncGenerator<Line> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let parts: Buffer[] = [];
  let size = 0;
  let number = 0;
  const finish = (): Line | undefined => {
    number += 1;
    const bytes = size > maxBytes ? undefined : Buffer.concat(parts);
    [parts, size] = [[], 0];
    if (bytes === undefined) return { number, problem: `the line is longer than ${maxBytes} bytes` };
    try {
      const text = decoder.decode(bytes).trim();
      return text === "" ? undefined : { number, text };
    } catch {
      return { number, problem: "the line is not UTF-8" };
    }
  };
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    const buffer = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    for (let from = 0; from < buffer.length; ) {
      const end = buffer.indexOf(NEWLINE, from);
      const part = buffer.subarray(from, end < 0 ? buffer.length : end);
      size += part.length;
      if (size <= maxBytes) parts.push(part);
      if (end < 0) break;
      from = end + 1;
      const line = finish();
      if (line !== undefined) yield line;
    }
  }
  if (size > 0) {
    const line = finish();
    if (line !== undefined) yield line;
  }
}

/** All of a stream as text. */
export async function textOf(input: Readable, maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    const buffer = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    size += buffer.length;
    if (size > maxBytes) throw new RangeError(`the input is longer than ${maxBytes} bytes`);
    parts.push(buffer);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
}
