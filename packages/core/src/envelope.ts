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

/** A message and its stamps. Immutable: every change returns a new envelope. */
export class Envelope<Payload = unknown> {
  readonly message: Message<Payload>;
  readonly stamps: readonly Stamp[];

  private constructor(message: Message<Payload>, stamps: readonly Stamp[]) {
    this.message = message;
    this.stamps = stamps;
  }

  /** Wraps a message. An envelope is not wrapped again: it gets the stamps. */
  static wrap<P>(message: Message<P> | Envelope<P>, stamps: readonly Stamp[] = []): Envelope<P> {
    if (message instanceof Envelope) return stamps.length === 0 ? message : message.with(...stamps);
    return new Envelope(message, stamps);
  }

  with(...stamps: readonly Stamp[]): Envelope<Payload> {
    return new Envelope(this.message, this.stamps.concat(stamps));
  }

  /** Drops every stamp of this type. */
  without(type: { readonly stampName: string }): Envelope<Payload> {
    return new Envelope(
      this.message,
      this.stamps.filter((stamp) => stamp.name !== type.stampName),
    );
  }

  withPayload<P>(payload: P): Envelope<P> {
    return this.withMessage({ type: this.message.type, payload });
  }

  /** The same stamps on another message: for old names and versions of a type. */
  withMessage<P>(message: Message<P>): Envelope<P> {
    return new Envelope(message, this.stamps);
  }

  /** The value of the newest stamp of this type. */
  last<Value>(type: StampType<Value>): Value | undefined {
    for (let i = this.stamps.length - 1; i >= 0; i--) {
      const stamp = this.stamps[i];
      if (stamp?.name === type.stampName) return stamp.value as Value;
    }
    return undefined;
  }

  /** The values of all stamps of this type, oldest first. */
  all<Value>(type: StampType<Value>): Value[] {
    return this.stamps.filter((stamp) => stamp.name === type.stampName).map((stamp) => stamp.value as Value);
  }
}
