import type { DispatchItem, DispatchOptions, Messenger } from "@symphony/core";
import { CommandFailed, codeOf, EXIT, type ExitCode, exitCodeOf } from "../../exit-codes.ts";
import type { Io } from "../../io.ts";
import { type Line, linesOf } from "../../lines.ts";
import { oneLine, plural, print } from "../../output.ts";
import { parseJson, typeOf } from "./request.ts";

/** A payload of 1 MiB, the limit, is at most six times as long when every character is escaped. */
const MAX_LINE_BYTES = 8 * 1_048_576;
/** Lines and bytes per call, and calls at a time: bounds memory, and keeps the connection busy. */
const CHUNK_LINES = 500;
const CHUNK_BYTES = 4 * 1_048_576;
const CHUNKS_AT_ONCE = 2;
/** Errors in the summary; all of them are on standard error. */
const LISTED_ERRORS = 100;

export interface ManyOptions {
  /** Given: a line is its payload. Else a line is `{ type, payload, options }`. */
  readonly type: string | undefined;
  readonly options: DispatchOptions;
  readonly force: boolean;
  readonly json: boolean;
}

interface LineError {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

interface Numbered {
  readonly line: number;
  readonly item: DispatchItem;
}

/** Sends one message per line; a bad line is reported and does not hold back the others. */
export async function dispatchMany(io: Io, messenger: Messenger, o: ManyOptions): Promise<void> {
  const run = new ManyRun(io, messenger, o);
  await run.readAll();
  run.report();
}

class ManyRun {
  readonly #io: Io;
  readonly #messenger: Messenger;
  readonly #o: ManyOptions;
  readonly #errors: LineError[] = [];
  readonly #running = new Set<Promise<void>>();
  #sent = 0;
  #duplicates = 0;
  #failed = 0;
  /** What makes going on pointless: the database is away. */
  #stop: { code: ExitCode; line: number; why: string } | undefined;

  constructor(io: Io, messenger: Messenger, o: ManyOptions) {
    this.#io = io;
    this.#messenger = messenger;
    this.#o = o;
  }

  async readAll(): Promise<void> {
    let chunk: Numbered[] = [];
    let bytes = 0;
    for await (const line of linesOf(this.#io.input, MAX_LINE_BYTES)) {
      const item = this.#parse(line);
      if (item !== undefined) chunk.push({ line: line.number, item });
      bytes += line.text?.length ?? 0;
      if (chunk.length >= CHUNK_LINES || bytes >= CHUNK_BYTES) {
        await this.#start(chunk);
        [chunk, bytes] = [[], 0];
      }
      if (this.#io.signal.aborted) this.#stop ??= { code: EXIT.failed, line: line.number + 1, why: "interrupted" };
      if (this.#stop !== undefined) break;
    }
    if (this.#stop === undefined || this.#stop.why === "interrupted") await this.#start(chunk);
    await Promise.all(this.#running);
  }

  report(): void {
    const stopped = this.#stop === undefined ? {} : { stopped: this.#stop.why, resumeAtLine: this.#stop.line };
    const summary = {
      success: this.#failed === 0 && this.#stop === undefined,
      sent: this.#sent,
      duplicates: this.#duplicates,
      failed: this.#failed,
      ...stopped,
    };
    print(this.#io, this.#o.json, { ...summary, errors: this.#errors }, () => {
      const duplicates = this.#duplicates === 0 ? "" : `, ${plural(this.#duplicates, "duplicate")}`;
      return `sent ${plural(this.#sent, "message")}${duplicates}${this.#failed === 0 ? "" : `, ${this.#failed} failed`}`;
    });
    if (this.#stop !== undefined) throw new CommandFailed(`${this.#stop.why}: send again from line ${this.#stop.line}`, this.#stop.code);
    if (this.#failed > 0) throw new CommandFailed(`${plural(this.#failed, "line")} could not be sent`);
  }

  #parse(line: Line): DispatchItem | undefined {
    try {
      if (line.text === undefined) throw new TypeError(line.problem);
      const value = parseJson(line.text, "it");
      return this.#o.type === undefined
        ? this.#itemOf(value)
        : { type: this.#type(this.#o.type), payload: value, options: this.#o.options };
    } catch (error) {
      this.#fail(line.number, error);
      return undefined;
    }
  }

  #itemOf(value: unknown): DispatchItem {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new TypeError("it is no object { type, payload, options }");
    const { type, payload, options, ...rest } = value as { type?: unknown; payload?: unknown; options?: unknown };
    const [other] = Object.keys(rest);
    if (other !== undefined) throw new TypeError(`${other} is none of type, payload, options`);
    if (typeof type !== "string") throw new TypeError("type must be a string");
    if (options !== undefined && (typeof options !== "object" || options === null || Array.isArray(options)))
      throw new TypeError("options must be an object");
    // A line of text can hold no database client.
    if (options !== undefined && "transaction" in options) throw new TypeError("options.transaction cannot be given here");
    return { type: this.#type(type), payload: payload ?? null, options: { ...this.#o.options, ...options } };
  }

  #type(name: string): DispatchItem["type"] {
    return typeOf(this.#messenger, name, this.#o.force);
  }

  /** Sends a chunk; waits while too many are on their way, which in turn stops the reading. */
  async #start(chunk: readonly Numbered[]): Promise<void> {
    if (chunk.length === 0) return;
    const running: Promise<void> = this.#send(chunk).finally(() => this.#running.delete(running));
    this.#running.add(running);
    while (this.#running.size >= CHUNKS_AT_ONCE) await Promise.race(this.#running);
  }

  async #send(chunk: readonly Numbered[]): Promise<void> {
    const results = await this.#messenger.dispatchMany(chunk.map(({ item }) => item));
    for (const [i, result] of results.entries()) {
      const line = chunk[i]?.line ?? 0;
      if (!("error" in result)) {
        if (result.duplicate) this.#duplicates += 1;
        else this.#sent += 1;
      } else this.#refused(line, result.error);
    }
  }

  #refused(line: number, error: unknown): void {
    const code = exitCodeOf(error);
    if (code !== EXIT.temporary && code !== EXIT.schema) this.#fail(line, error);
    else if (this.#stop === undefined || line < this.#stop.line) this.#stop = { code, line, why: (error as Error).message };
  }

  #fail(line: number, error: unknown): void {
    this.#failed += 1;
    const known = { line, code: codeOf(error) ?? "INVALID_LINE", message: (error as Error).message };
    if (this.#errors.length < LISTED_ERRORS) this.#errors.push(known);
    this.#io.err(`line ${line}: ${oneLine(known.message, 500)}\n`);
  }
}
