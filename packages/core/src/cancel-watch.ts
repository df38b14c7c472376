import { toErrorRecord } from "./error-record.ts";
import type { Executor } from "./execute.ts";
import type { Logger } from "./logger.ts";
import type { Cancellable } from "./message-control.ts";
import type { Received } from "./transport.ts";

export interface CancelWatchInput {
  readonly source: Cancellable;
  readonly executor: Executor;
  readonly logger: Logger;
  /** Everything that is received and not decided. */
  readonly held: () => readonly Received[];
  /** Takes one out that has not been started; false: it is being handled. */
  readonly drop: (received: Received) => boolean;
}

/** Ends what somebody cancelled while this worker held it. The store has it on record already; here only the handlers are told. */
export class CancelWatch {
  readonly #o: CancelWatchInput;
  readonly #cancelled = new WeakSet<Received>();
  #asking = false;
  #again = false;
  /** A question was asked while a receive may have been under way. */
  #stale = false;

  constructor(input: CancelWatchInput) {
    this.#o = input;
  }

  /** Its outcome does not count. */
  has(received: Received): boolean {
    return this.#cancelled.has(received);
  }

  /** Something was cancelled: asks whether it is ours. One question at a time, and one more for all meanwhile. */
  look(): void {
    this.#stale = true;
    this.#ask();
  }

  /** More is held: what was cancelled between its claim and the last question was not asked about. */
  received(): void {
    if (!this.#stale) return;
    this.#stale = false;
    this.#ask();
  }

  #ask(): void {
    this.#again = true;
    if (this.#asking) return;
    this.#asking = true;
    void this.#askAll().finally(() => {
      this.#asking = false;
    });
  }

  /** Never rejects. */
  async #askAll(): Promise<void> {
    do {
      this.#again = false;
      const held = this.#o.held().filter((received) => !this.has(received));
      if (held.length === 0) continue;
      try {
        const gone = await this.#o.source.findCancelled(held.map(({ receipt }) => receipt));
        for (const receipt of gone) this.#end(held.find((received) => received.receipt === receipt));
      } catch (error) {
        // Its late settlement is refused all the same.
        this.#o.logger.warn({ err: toErrorRecord(error) }, "could not ask which messages were cancelled");
      }
    } while (this.#again);
  }

  #end(received: Received | undefined): void {
    if (received === undefined) return;
    this.#cancelled.add(received);
    const { receipt, queue, envelope } = received;
    this.#o.logger.info({ message_id: receipt.id, message_type: envelope?.message.type, queue }, "message cancelled");
    if (!this.#o.drop(received)) this.#o.executor.cancel?.(received);
  }
}
