import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { planFleet, readContainerLimits, v8Flags } from "@symphony/worker-runner";
import type { ConsumeOrder, ConsumeSignal, ConsumeVerdict, FromConsumer } from "./consume-process.ts";
import type { FromProducer, PhaseReport, ProduceOrder } from "./produce-process.ts";

export interface ChildOptions {
  readonly nodeFlags?: readonly string[];
  /** Beside the environment of the bench. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Milliseconds. A contestant that hangs must not hang the bench. */
const PATIENCE_MS = 60_000;

/** A process that measures, seen from the bench: waits for what it says, and never for longer than the patience. */
class Child<From extends { readonly kind: string }> {
  readonly process: ChildProcess;
  readonly #what: string;
  readonly #seen: From[] = [];
  readonly #watchers = new Set<() => void>();
  #failure: Error | undefined;

  constructor(file: URL, what: string, { nodeFlags = [], env = {} }: ChildOptions) {
    this.#what = what;
    this.process = fork(fileURLToPath(file), {
      execArgv: ["--conditions=source", ...nodeFlags],
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    this.process.on("message", (message) => {
      this.#seen.push(message as From);
      this.#notify();
    });
    this.process.once("exit", (code, signal) => {
      this.#failure ??= new Error(`${this.#what} ended with ${code ?? signal}`);
      this.#notify();
    });
  }

  async next<Kind extends From["kind"]>(kind: Kind, patienceMs = PATIENCE_MS): Promise<Extract<From, { kind: Kind }>> {
    const find = () => this.#seen.find((message) => message.kind === kind) as Extract<From, { kind: Kind }> | undefined;
    await this.until(() => find() !== undefined, kind, patienceMs);
    return find() as Extract<From, { kind: Kind }>;
  }

  async until(holds: () => boolean, what: string, patienceMs = PATIENCE_MS): Promise<void> {
    const done = Promise.withResolvers<void>();
    const look = (): void => {
      if (holds()) done.resolve();
      else if (this.#failure !== undefined) done.reject(this.#failure);
    };
    this.#watchers.add(look);
    const timer = setTimeout(() => done.reject(new Error(`${this.#what}: no "${what}" within ${patienceMs} ms`)), patienceMs);
    look();
    try {
      await done.promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  last<Kind extends From["kind"]>(kind: Kind): Extract<From, { kind: Kind }> | undefined {
    return this.#seen.findLast((message) => message.kind === kind) as Extract<From, { kind: Kind }> | undefined;
  }

  async ended(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null)
      await new Promise((resolve) => {
        const timer = setTimeout(() => this.process.kill("SIGKILL"), 10_000);
        this.process.once("exit", () => {
          clearTimeout(timer);
          resolve(undefined);
        });
      });
  }

  kill(): void {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGKILL");
  }

  #notify(): void {
    for (const look of this.#watchers) look();
  }
}

/**
 * V8's flags that a fleet of one worker process starts it with on this machine. Everybody's consumers have them, unless
 * their settings say otherwise: the others do not start processes themselves.
 */
const FLAGS = v8Flags(planFleet(readContainerLimits(), { processes: 1 }).v8Helpers);

export class ConsumerProcess {
  readonly #child: Child<FromConsumer>;

  /** It connects; call `ready`. */
  constructor(order: ConsumeOrder, { nodeFlags = [], env = {} }: ChildOptions = {}) {
    const { nodeFlags: chosen = FLAGS } = order.settings as { readonly nodeFlags?: readonly string[] };
    const options = { nodeFlags: [...chosen, ...nodeFlags], env };
    this.#child = new Child(new URL("./consume-process.ts", import.meta.url), order.contestant, options);
    this.#child.process.send(order);
  }

  async ready(): Promise<void> {
    await this.#child.next("ready", 30_000);
  }

  tell(signal: ConsumeSignal): void {
    this.#child.process.send(signal);
  }

  get pid(): number {
    return this.#child.process.pid ?? -1;
  }

  get handled(): number {
    return this.#child.last("progress")?.handled ?? 0;
  }

  /** When it last said how many it has handled. */
  get progressAt(): number {
    return this.#child.last("progress")?.at ?? 0;
  }

  /** Resolves when `holds`; looks whenever this process says something. */
  until(holds: () => boolean, what: string, patienceMs?: number): Promise<void> {
    return this.#child.until(holds, what, patienceMs);
  }

  /** Ends it, and resolves with what it saw. */
  async verdict(): Promise<ConsumeVerdict> {
    this.tell("stop");
    const verdict = await this.#child.next("verdict");
    await this.#child.ended();
    return verdict;
  }

  kill(): void {
    this.#child.kill();
  }
}

export class ProducerProcess {
  readonly #child: Child<FromProducer>;

  constructor(order: ProduceOrder, options: ChildOptions = {}) {
    this.#child = new Child(new URL("./produce-process.ts", import.meta.url), order.contestant, options);
    this.#child.process.send(order);
  }

  async ready(): Promise<void> {
    await this.#child.next("ready", 30_000);
  }

  /** Runs the phases. */
  async run(): Promise<readonly PhaseReport[]> {
    this.#child.process.send("start");
    const { phases } = await this.#child.next("done");
    await this.#child.ended();
    return phases;
  }

  kill(): void {
    this.#child.kill();
  }
}
