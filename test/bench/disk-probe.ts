import { rmSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { median } from "./statistics.ts";

/** A write to the disk, on the clock of `now`. */
export interface Write {
  readonly from: number;
  readonly until: number;
}

/** Milliseconds between two writes: as often as a message of the measurement has to reach the disk. */
const EVERY_MS = 20;
/** A write that takes so many times as long as most is a stall, */
const STALL_FACTOR = 10;
/** … if it takes so many milliseconds as well. */
const STALL_LEAST_MS = 5;
/** Milliseconds after a stall, for what has queued up behind it. */
const AFTER_MS = 20;

const WRITE = `
  const { closeSync, fdatasyncSync, openSync, writeSync } = require("node:fs");
  const { parentPort, workerData: { file, everyMs } } = require("node:worker_threads");
  const disk = openSync(file, "w");
  const page = Buffer.alloc(8192, 1);
  const writes = [];
  const now = () => { const [s, ns] = process.hrtime(); return s * 1e3 + ns / 1e6; };
  const writing = setInterval(() => {
    const from = now();
    writeSync(disk, page, 0, page.length, (writes.length % 64) * page.length);
    fdatasyncSync(disk);
    writes.push({ from, until: now() });
  }, everyMs);
  parentPort.once("message", () => {
    clearInterval(writing);
    closeSync(disk);
    parentPort.postMessage(writes);
  });
`;

/**
 * Writes a page to the disk, and waits for it, all the time that something is measured which does that as well. Disks that others
 * share stall for tens or hundreds of milliseconds, with nobody else on this machine: that says nothing about who happens to
 * be measured then.
 */
export class DiskProbe {
  readonly #file: string;
  readonly #worker: Worker;
  readonly #writes: Promise<readonly Write[]>;

  /** @param file - On the disk that is meant; removed at the end. */
  constructor(file: string) {
    this.#file = file;
    // V8 makes heaps smaller that have been quiet for eight seconds: in the middle of a measurement, in four threads, for up to 16 ms.
    setFlagsFromString("--no-memory-reducer");
    this.#worker = new Worker(WRITE, { eval: true, workerData: { file, everyMs: EVERY_MS } });
    this.#writes = new Promise((resolve, reject) => {
      this.#worker.once("message", resolve);
      this.#worker.once("error", reject);
      this.#worker.once("exit", () => reject(new Error("the probe of the disk has ended")));
    });
    // Told by `stop`.
    this.#writes.catch(() => undefined);
  }

  /** Rejects if it could not write. */
  async stop(): Promise<readonly Write[]> {
    this.#worker.postMessage("stop");
    try {
      return await this.#writes;
    } finally {
      await this.#worker.terminate();
      rmSync(this.#file, { force: true });
    }
  }
}

/** The writes for which the disk stood still. */
export function stallsAmong(writes: readonly Write[]): readonly Write[] {
  if (writes.length === 0) return [];
  const least = Math.max(STALL_LEAST_MS, STALL_FACTOR * median(writes.map(({ from, until }) => until - from)));
  return writes.filter(({ from, until }) => until - from >= least);
}

/** Whether the disk stood still in that time, or shortly before. */
export const meets = (stalls: readonly Write[], from: number, until: number): boolean =>
  stalls.some((stall) => from <= stall.until + AFTER_MS && until >= stall.from);
