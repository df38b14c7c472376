import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";

/**
 * Asks before something is destroyed. True without asking when `force` was given.
 *
 * @throws {UsageError} nobody can be asked and `force` was not given.
 */
export async function confirm(io: Io, question: string, force: boolean): Promise<boolean> {
  if (force) return true;
  if (!io.interactive) throw new UsageError(`${question} Nobody can be asked here: give --force to go ahead, or --dry-run to look first`);
  const reader = createInterface({ input: io.input, output: toErrors(io) });
  try {
    // Ctrl-D closes the reader and leaves the question without an answer for ever.
    const closed = new Promise<string>((resolve) => reader.once("close", () => resolve("")));
    const answer = await Promise.race([reader.question(`${question} [y/N] `, { signal: io.signal }), closed]);
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    // Ctrl-C at the question is a no.
    if ((error as Error).name === "AbortError") return false;
    throw error;
  } finally {
    reader.close();
  }
}

const toErrors = (io: Io): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      io.err(chunk.toString());
      done();
    },
  });
