import type { MessagePort } from "node:worker_threads";
import type { ErrorRecord, MetricSeries, Outcome } from "@symphony/core";
import type { DeathNotice, FromThread, LogRecord, SendRequest } from "./thread-protocol.ts";

/**
 * What a thread has to tell, collected until the end of the turn: a post costs as much as handling several small
 * messages, and a batch of them ends in one turn.
 */
export class ThreadOutbox {
  readonly #port: MessagePort;
  readonly #onUnsendable: (request: SendRequest) => void;
  #handled: number[] = [];
  #outcomes: [slot: number, outcome: Outcome][] = [];
  #sends: SendRequest[] = [];
  #logs: LogRecord[] = [];
  #scheduled = false;
  #held = false;

  constructor(port: MessagePort, onUnsendable: (request: SendRequest) => void) {
    this.#port = port;
    this.#onUnsendable = onUnsendable;
  }

  outcome(slot: number, outcome: Outcome): void {
    if (outcome.kind === "handled" && outcome.settled !== true) this.#handled.push(slot);
    else this.#outcomes.push([slot, outcome]);
    this.#schedule();
  }

  send(request: SendRequest): void {
    this.#sends.push(request);
    this.#schedule();
  }

  log(record: LogRecord): void {
    this.#logs.push(record);
    this.#schedule();
  }

  /** Posts at once: it comes once a second. */
  counted(metrics: readonly MetricSeries[]): void {
    if (metrics.length > 0) this.#port.postMessage({ metrics } satisfies FromThread);
  }

  ready(threadId: number): void {
    this.#port.postMessage({ ready: { threadId } } satisfies FromThread);
  }

  /** Posts at once, after everything that was to be told before. */
  unfit(error: ErrorRecord): void {
    this.flush();
    this.#port.postMessage({ unfit: error } satisfies FromThread);
  }

  /** Posts at once: the caller may not live to see the end of the turn. */
  flush(death?: DeathNotice): void {
    const handled = this.#handled;
    const outcomes = this.#outcomes;
    const sends = this.#sends;
    const logs = this.#logs;
    this.#handled = [];
    this.#outcomes = [];
    this.#sends = [];
    this.#logs = [];
    // What handlers send may hold things that cannot be copied; nothing else may fail with it.
    if (sends.length > 0) this.#postSends(sends);
    if (handled.length === 0 && outcomes.length === 0 && logs.length === 0 && death === undefined) return;
    this.#port.postMessage({
      ...(logs.length === 0 ? {} : { logs }),
      ...(handled.length === 0 ? {} : { handled: new Uint32Array(handled) }),
      ...(outcomes.length === 0 ? {} : { outcomes }),
      ...(death === undefined ? {} : { death }),
    } satisfies FromThread);
  }

  /** More is to come in this turn: nothing is posted until `letGo`. */
  hold(): void {
    this.#held = true;
  }

  letGo(): void {
    this.#held = false;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#held) return;
    this.#scheduled = true;
    // Runs when the microtasks of this turn are done, before the next event.
    process.nextTick(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  #postSends(sends: readonly SendRequest[]): void {
    if (this.#tryPost(sends)) return;
    for (const request of sends) if (!this.#tryPost([request])) this.#onUnsendable(request);
  }

  #tryPost(sends: readonly SendRequest[]): boolean {
    try {
      this.#port.postMessage({ sends } satisfies FromThread);
      return true;
    } catch {
      // DataCloneError: a function, a symbol or the like in a payload. The relay finds out where.
      return false;
    }
  }
}
