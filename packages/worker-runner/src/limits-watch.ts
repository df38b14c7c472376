import type { Clock, Timer } from "@symphony/core";
import { type ContainerLimits, readContainerLimits } from "./container-limits.ts";

export interface LimitsWatchOptions {
  readonly clock: Clock;
  /** What the limits have become. */
  readonly onChange: (limits: ContainerLimits) => void;
  readonly read?: () => ContainerLimits;
  readonly everyMs?: number;
}

/** Milliseconds. A container is resized once in hours; a look reads four small files. */
const EVERY_MS = 10_000;

const isSame = (a: ContainerLimits, b: ContainerLimits): boolean => a.cpus === b.cpus && a.memoryBytes === b.memoryBytes;

/** Reads the container's limits again and again: on Kubernetes they change under a running process when its pod is resized. */
export class LimitsWatch {
  readonly #o: LimitsWatchOptions;
  readonly #read: () => ContainerLimits;
  #known: ContainerLimits;
  #seen: ContainerLimits | undefined;
  #timer: Timer | undefined;

  constructor(options: LimitsWatchOptions) {
    this.#o = options;
    this.#read = options.read ?? readContainerLimits;
    this.#known = this.#read();
  }

  start(): void {
    this.#timer = this.#o.clock.schedule(this.#o.everyMs ?? EVERY_MS, () => this.#look(), { unref: true });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const now = this.#read();
    // Seen twice: CPU and memory are set one after the other, and a file that could not be read once means nothing.
    const isSettled = this.#seen !== undefined && isSame(this.#seen, now);
    this.#seen = now;
    if (isSettled && !isSame(this.#known, now)) {
      this.#known = now;
      this.#o.onChange(now);
    }
    this.start();
  }
}
