/** One typed piece of metadata on an envelope. Make them with a stamp type: `delay({ delayMs: 500 })`. */
export interface Stamp<Value = unknown> {
  readonly name: string;
  readonly value: Value;
}

/** Factory and key of one kind of stamp. */
export interface StampType<Value> {
  (value: Value): Stamp<Value>;
  readonly stampName: string;
  /** Whether the stamp travels with the message, or ends with the process. */
  readonly sendable: boolean;
}

const stampTypes = new Map<string, { readonly sendable: boolean }>();

/**
 * Declares a kind of stamp.
 *
 * @param name - Unique in the program, stable over releases when `sendable`: it is written to the wire.
 * @param options.sendable - True: the value is plain JSON and travels with the message.
 */
export function defineStamp<Value>(name: string, options: { sendable: boolean }): StampType<Value> {
  const factory = (value: Value): Stamp<Value> => ({ name, value });
  const type = Object.assign(factory, { stampName: name, sendable: options.sendable });
  stampTypes.set(name, type);
  return type;
}

/** Whether stamps of this name travel. Unknown names do: a newer version of the program may know them. */
export function isSendable(name: string): boolean {
  return stampTypes.get(name)?.sendable ?? true;
}

/** A message: plain data with a registered name. */
export interface Message<Payload = unknown> {
  readonly type: string;
  readonly payload: Payload;
}

/** Stamps that are made when somebody asks for them: of a decoded record, most of which nobody reads. */
export interface StampSource {
  /** The value of the newest stamp of this name. */
  last(name: string): unknown;
  /** All of them, oldest first. Called once at most. */
  all(): readonly Stamp[];
}

const NO_STAMPS: readonly Stamp[] = [];

/** A message and its stamps. Immutable: every change returns a new envelope. */
export class Envelope<Payload = unknown> {
  readonly message: Message<Payload>;
  /** Come before all others. */
  readonly #first: StampSource | undefined;
  readonly #own: readonly Stamp[];
  #all: readonly Stamp[] | undefined;

  private constructor(message: Message<Payload>, first: StampSource | undefined, own: readonly Stamp[]) {
    this.message = message;
    this.#first = first;
    this.#own = own;
  }

  /** Wraps a message. An envelope is not wrapped again: it gets the stamps. */
  static wrap<P>(message: Message<P> | Envelope<P>, stamps: readonly Stamp[] = NO_STAMPS): Envelope<P> {
    if (message instanceof Envelope) return stamps.length === 0 ? message : message.with(...stamps);
    return new Envelope(message, undefined, stamps);
  }

  /** For serializers. */
  static decoded<P>(message: Message<P>, stamps: StampSource): Envelope<P> {
    return new Envelope(message, stamps, NO_STAMPS);
  }

  get stamps(): readonly Stamp[] {
    this.#all ??= this.#first === undefined ? this.#own : [...this.#first.all(), ...this.#own];
    return this.#all;
  }

  with(...stamps: readonly Stamp[]): Envelope<Payload> {
    return new Envelope(this.message, this.#first, this.#own.length === 0 ? stamps : this.#own.concat(stamps));
  }

  /** Drops every stamp of this type. */
  without(type: { readonly stampName: string }): Envelope<Payload> {
    return new Envelope(
      this.message,
      undefined,
      this.stamps.filter((stamp) => stamp.name !== type.stampName),
    );
  }

  withPayload<P>(payload: P): Envelope<P> {
    return this.withMessage({ type: this.message.type, payload });
  }

  /** The same stamps on another message: for old names and versions of a type. */
  withMessage<P>(message: Message<P>): Envelope<P> {
    return new Envelope(message, this.#first, this.#own);
  }

  /** As it is logged and looked at: stamps are no property of their own. */
  toJSON(): { readonly message: Message<Payload>; readonly stamps: readonly Stamp[] } {
    return { message: this.message, stamps: this.stamps };
  }

  [Symbol.for("nodejs.util.inspect.custom")](): object {
    return this.toJSON();
  }

  /** The value of the newest stamp of this type. */
  last<Value>(type: StampType<Value>): Value | undefined {
    const own = this.#own;
    for (let i = own.length - 1; i >= 0; i--) {
      const stamp = own[i];
      if (stamp?.name === type.stampName) return stamp.value as Value;
    }
    return this.#first?.last(type.stampName) as Value | undefined;
  }

  /** The values of all stamps of this type, oldest first. */
  all<Value>(type: StampType<Value>): Value[] {
    return this.stamps.filter((stamp) => stamp.name === type.stampName).map((stamp) => stamp.value as Value);
  }
}
