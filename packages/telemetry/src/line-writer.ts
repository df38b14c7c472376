import { closeSync, openSync, writeSync } from "node:fs";
import type { Clock, Timer } from "@symphony/core";

export interface LineWriterOptions {
  /** A file descriptor, or a path that is appended to. */
  readonly target: number | string;
  /** True: every line is written before `write` returns. False: lines are gathered for at most `flushAfterMs`. */
  readonly sync: boolean;
  readonly clock: Clock;
}

const FLUSH_AFTER_MS = 100;
/** Characters. Container runtimes read logs in pieces of 16 KiB; larger writes gain nothing. */
const FLUSH_OVER_CHARS = 16_384;
const RETRY_AFTER_MS = 5;

/**
 * Writes lines to a descriptor, in order, each whole.
 *
 * All writes are synchronous system calls, gathered or not: memory stays bounded, a reader that is slow slows the
 * writer down instead of losing lines, and nothing is left behind when the process exits. A killed process loses at
 * most the last 100 ms of gathered lines. A reader that has gone (EPIPE) makes the writer drop what follows: a worker
 * must not die of a closed log.
 */
export class LineWriter {
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #sync: boolean;
  readonly #clock: Clock;
  readonly #onExit = (): void => this.flushSync();
  #pending = "";
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: LineWriterOptions) {
    this.#owned = typeof options.target === "string";
    this.#fd = typeof options.target === "string" ? openSync(options.target, "a") : options.target;
    this.#sync = options.sync;
    this.#clock = options.clock;
    if (!this.#sync) process.on("exit", this.#onExit);
  }

  write(line: string): void {
    if (this.#closed) return;
    this.#pending += line;
    if (this.#sync || this.#pending.length >= FLUSH_OVER_CHARS) this.flushSync();
    else this.#timer ??= this.#clock.schedule(FLUSH_AFTER_MS, () => this.flushSync(), { unref: true });
  }

  /** Everything that was written is with the operating system when this returns. */
  flushSync(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed || this.#pending === "") return;
    const bytes = Buffer.from(this.#pending);
    this.#pending = "";
    let written = 0;
    while (written < bytes.length) written += this.#writeSome(bytes, written);
  }

  /** Flushes; a file that was opened here is closed. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.flushSync();
    this.#closed = true;
    process.off("exit", this.#onExit);
    if (this.#owned) closeSync(this.#fd);
  }

  #writeSome(bytes: Buffer, from: number): number {
    try {
      return writeSync(this.#fd, bytes, from);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN" || code === "EBUSY") {
        // Somebody else has made the pipe non-blocking, and it is full: wait for the reader.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_AFTER_MS);
        return 0;
      }
      // Neither a closed pipe nor a full disk may end a worker, and there is nowhere left to say so.
      if (code === "EPIPE" || code === "ENOSPC" || code === "EIO" || code === "EBADF") return bytes.length - from;
      throw error;
    }
  }
}
