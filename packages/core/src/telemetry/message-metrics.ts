import type { Decision } from "../decide.ts";
import { MessengerError } from "../errors.ts";
import type { Outcome } from "../execute.ts";
import type { Received } from "../transport.ts";
import { errorTypeOf, outcomeErrorType } from "./error-type.ts";
import type { Counter, Histogram, Meter } from "./meter.ts";
import { ATTRIBUTES, METRICS, OPERATIONS, type Operation, OTHER } from "./names.ts";

const { destinationName, errorType, messageType, operationName, reason } = ATTRIBUTES;

/** What happens to messages in this process, as metrics. The counters of the frequent events are kept, those of errors looked up. */
export class MessageMetrics {
  readonly #meter: Meter;
  readonly #sent = new Map<string, { readonly count: Counter; readonly time: Histogram }>();
  readonly #consumed = new Map<string, Counter>();
  readonly #handled = new Map<string, Map<string, Histogram>>();
  /** Of the message before: mostly of the same type, whose name is compared for less than it is looked up. */
  #last: { readonly queue: string; readonly type: string; readonly time: Histogram } | undefined;

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /** One message was sent, or was not: `error`. */
  sent(queue: string, durationMs: number, error?: unknown): void {
    if (error !== undefined) {
      // A name that no queue has comes from whoever sent it: there could be any number of them.
      const known = error instanceof MessengerError && error.code === "QUEUE_NOT_FOUND" ? OTHER : queue;
      const labels = { [destinationName]: known, [errorType]: errorTypeOf(error) };
      this.#meter.counter(METRICS.sentMessages, labels).add(1);
      this.operation(OPERATIONS.send, durationMs, { queue: known, error });
      return;
    }
    let cells = this.#sent.get(queue);
    if (cells === undefined) {
      cells = {
        count: this.#meter.counter(METRICS.sentMessages, { [destinationName]: queue }),
        time: this.#meter.histogram(METRICS.operationDuration, { [operationName]: OPERATIONS.send, [destinationName]: queue }),
      };
      this.#sent.set(queue, cells);
    }
    cells.count.add(1);
    cells.time.observe(durationMs / 1_000);
  }

  /** One round trip to the transport. */
  operation(operation: Operation, durationMs: number, o: { readonly queue?: string | undefined; readonly error?: unknown } = {}): void {
    this.#meter
      .histogram(METRICS.operationDuration, {
        [operationName]: operation,
        ...(o.queue === undefined ? {} : { [destinationName]: o.queue }),
        ...(o.error === undefined ? {} : { [errorType]: errorTypeOf(o.error) }),
      })
      .observe(durationMs / 1_000);
  }

  consumed(messages: readonly Received[]): void {
    for (const { queue } of messages) {
      let count = this.#consumed.get(queue);
      if (count === undefined) {
        count = this.#meter.counter(METRICS.consumedMessages, { [destinationName]: queue });
        this.#consumed.set(queue, count);
        // Known from now on, at 0: a counter that first appears with its first event shows no increase.
        for (const rare of [METRICS.messageRetries, METRICS.messageCrashes, METRICS.messageLeaseLost])
          this.#meter.counter(rare, { [destinationName]: queue });
        this.#meter.counter(METRICS.messageDeadLetters, { [destinationName]: queue, [reason]: "retries_exhausted" });
      }
      count.add(1);
    }
  }

  /** One attempt has ended and was decided on. */
  decided(received: Received, outcome: Outcome, decision: Decision, durationMs: number): void {
    const { queue } = received;
    // A name that no handler knows comes from whoever sent it.
    const isKnown = outcome.kind !== "noHandler" && outcome.kind !== "undecodable" && outcome.kind !== "tooNew";
    const type = isKnown ? (received.outline?.type ?? received.envelope?.message.type ?? OTHER) : OTHER;
    if (decision.kind === "acknowledge") {
      this.#handledIn(queue, type).observe(durationMs / 1_000);
      return;
    }
    const error = outcomeErrorType(outcome);
    this.#meter
      .histogram(METRICS.processDuration, {
        [destinationName]: queue,
        [messageType]: type,
        ...(error === undefined ? {} : { [errorType]: error }),
      })
      .observe(durationMs / 1_000);
    if (outcome.kind === "crashed") this.crashed(queue, decision);
    else this.#failed(queue, decision);
  }

  /** A message has taken its thread or process with it. */
  crashed(queue: string, decision: Decision): void {
    this.#meter.counter(METRICS.messageCrashes, { [destinationName]: queue }).add(1);
    this.#failed(queue, decision);
  }

  leaseLost(queue: string): void {
    this.#meter.counter(METRICS.messageLeaseLost, { [destinationName]: queue }).add(1);
  }

  #failed(queue: string, decision: Decision): void {
    if (decision.kind === "retry") this.#meter.counter(METRICS.messageRetries, { [destinationName]: queue }).add(1);
    else if (decision.kind === "deadLetter")
      this.#meter.counter(METRICS.messageDeadLetters, { [destinationName]: queue, [reason]: decision.failure.reason }).add(1);
  }

  #handledIn(queue: string, type: string): Histogram {
    if (this.#last?.type === type && this.#last.queue === queue) return this.#last.time;
    let time = this.#handled.get(queue)?.get(type);
    if (time === undefined) {
      time = this.#meter.histogram(METRICS.processDuration, { [destinationName]: queue, [messageType]: type });
      this.#handled.set(queue, new Map([...(this.#handled.get(queue) ?? []), [type, time]]));
    }
    this.#last = { queue, type, time };
    return time;
  }
}
