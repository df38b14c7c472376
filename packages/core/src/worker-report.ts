import type { EventEmitter } from "node:events";
import type { Decision } from "./decide.ts";
import { toErrorRecord } from "./error-record.ts";
import type { WorkerEvents } from "./events.ts";
import type { Outcome } from "./execute.ts";
import type { Logger } from "./logger.ts";
import { attemptOf } from "./stamps.ts";
import type { MessageMetrics } from "./telemetry/message-metrics.ts";
import type { ProcessSpan } from "./telemetry/process-span.ts";
import type { Receipt, Received } from "./transport.ts";
import type { WorkerCounters } from "./worker-state.ts";

/** What a worker tells the world: events, log lines, counters, metrics. Nothing here changes what the worker does. */
export class WorkerReport {
  readonly counters: WorkerCounters;
  readonly metrics: MessageMetrics;
  lastError: string | null = null;
  readonly #emitter: EventEmitter<WorkerEvents>;
  readonly #logger: Logger;

  constructor(o: { emitter: EventEmitter<WorkerEvents>; logger: Logger; counters: WorkerCounters; metrics: MessageMetrics }) {
    this.#emitter = o.emitter;
    this.#logger = o.logger;
    this.counters = o.counters;
    this.metrics = o.metrics;
  }

  /** Somebody listens: whoever emits per message asks first, and makes nothing in vain. */
  isHeard(name: keyof WorkerEvents): boolean {
    return this.#emitter.listenerCount(name) > 0;
  }

  /** Calls every listener, also after one that throws: it must take neither the others nor a message down with it. */
  emit<Name extends keyof WorkerEvents>(name: Name, ...payload: WorkerEvents[Name]): void {
    if (this.#emitter.listenerCount(name) === 0) return;
    for (const listener of (this.#emitter as EventEmitter).rawListeners(name)) {
      try {
        listener.apply(this.#emitter, payload);
      } catch (error) {
        this.#logger.error({ err: toErrorRecord(error), event: name }, "an event listener threw");
      }
    }
  }

  /** The worker itself failed at something. */
  error(error: unknown): void {
    const record = toErrorRecord(error);
    this.lastError = record.message;
    this.#logger.error({ err: record }, "worker error");
    this.emit("error", { error: record });
  }

  /** @param o.span - For log lines: where its trace is found. */
  decided(received: Received, outcome: Outcome, decision: Decision, o: { durationMs: number; span?: ProcessSpan | undefined }): void {
    const { durationMs } = o;
    if (decision.kind !== "release") this.counters.count(decision.kind !== "acknowledge", durationMs);
    this.metrics.decided(received, outcome, decision, durationMs);
    if (decision.kind === "retry" || decision.kind === "deadLetter") this.#failure(received, outcome, decision, o.span?.logFields);
    if (this.isHeard("message_processed")) this.emit("message_processed", { received, outcome, decision, durationMs });
  }

  leaseLost({ id, queue }: Receipt): void {
    this.counters.leaseLost += 1;
    this.metrics.leaseLost(queue);
    this.#logger.warn({ message_id: id, queue }, "lease lost: the late outcome was not recorded");
  }

  #failure(
    received: Received,
    outcome: Outcome,
    decision: Extract<Decision, { kind: "retry" | "deadLetter" }>,
    fields: object | undefined,
  ): void {
    const error = decision.kind === "deadLetter" ? decision.failure.error : errorOf(outcome);
    const willRetry = decision.kind === "retry";
    this.lastError = error.message;
    this.#logger.warn(
      {
        message_id: received.receipt.id,
        message_type: received.envelope?.message.type,
        queue: received.queue,
        attempt: attemptOf(received),
        ...fields,
        error: { name: error.name, message: error.message, code: error.code },
        ...(willRetry ? { retry_in_ms: decision.delayMs } : { reason: decision.failure.reason }),
      },
      willRetry ? "attempt failed, will retry" : "message dead-lettered",
    );
    this.emit("error", { error, received, willRetry });
  }
}

function errorOf(outcome: Outcome): { name: string; message: string; code?: string } {
  if (outcome.kind === "failed") return outcome.failure.error;
  if (outcome.kind === "timedOut") {
    return { name: "HandlerTimeoutError", message: `the handler ran longer than ${outcome.timeoutMs} ms`, code: "HANDLER_TIMED_OUT" };
  }
  return "error" in outcome ? outcome.error : { name: "Error", message: outcome.kind };
}
