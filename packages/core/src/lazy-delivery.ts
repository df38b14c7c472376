import type { Envelope } from "./envelope.ts";
import { DecodeError } from "./errors.ts";
import type { Outline } from "./outline.ts";
import type { Serializer } from "./serializer.ts";
import type { Receipt, Received } from "./transport.ts";

/**
 * A message whose record is read when somebody asks for its envelope, and once: many are received at a time, and those
 * that wait are small until then. A copy by `...` has neither envelope nor error nor outline.
 */
export class LazyDelivery implements Received {
  readonly receipt: Receipt;
  readonly priority: number;
  readonly body: string;
  readonly #serializer: Serializer;
  #read: Envelope | DecodeError | undefined;
  /** Null: there is none. */
  #outline: Outline | null | undefined;

  constructor(receipt: Receipt, priority: number, body: string, serializer: Serializer) {
    this.receipt = receipt;
    this.priority = priority;
    this.body = body;
    this.#serializer = serializer;
  }

  get queue(): string {
    return this.receipt.queue;
  }

  get outline(): Outline | undefined {
    if (this.#outline === undefined) this.#outline = (this.#read === undefined ? this.#serializer.outline?.(this.body) : null) ?? null;
    return this.#outline ?? undefined;
  }

  get envelope(): Envelope | undefined {
    const read = this.#read ?? this.#decode();
    return read instanceof DecodeError ? undefined : read;
  }

  get decodeError(): DecodeError | undefined {
    const read = this.#read ?? this.#decode();
    return read instanceof DecodeError ? read : undefined;
  }

  #decode(): Envelope | DecodeError {
    try {
      this.#read = this.#serializer.decode(this.body);
    } catch (error) {
      this.#read =
        error instanceof DecodeError
          ? error
          : new DecodeError("RECORD_UNDECODABLE", "the serializer failed on the record", { cause: error });
    }
    return this.#read;
  }
}
