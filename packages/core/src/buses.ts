import { MessageBus } from "./bus.ts";
import type { BusConfig, ParsedConfig } from "./config.ts";
import type { Envelope } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import type { Step } from "./middleware/chain.ts";
import { busName } from "./stamps.ts";

/** The buses of a configuration. */
export class Buses {
  readonly default: MessageBus;
  readonly #forced: MessageBus | undefined;
  readonly #buses = new Map<string, MessageBus>();

  /** @param steps - The steps of the library for one bus, after all own middleware. */
  constructor(config: ParsedConfig, steps: (bus: Required<BusConfig>) => readonly Step[]) {
    for (const [name, bus] of Object.entries(config.buses)) {
      const middleware = [...config.middleware, ...bus.middleware];
      this.#buses.set(name, new MessageBus(name, middleware, { allowNoHandlers: bus.allowNoHandlers, steps: steps(bus) }));
    }
    this.default = this.get(config.defaultBus);
    this.#forced = config.worker.bus === undefined ? undefined : this.get(config.worker.bus);
  }

  /** @throws {MessengerError} `DISPATCH_OPTIONS_INVALID` */
  get(name: string): MessageBus {
    const bus = this.#buses.get(name);
    if (bus !== undefined) return bus;
    const known = [...this.#buses.keys()].join(", ");
    throw new MessengerError("DISPATCH_OPTIONS_INVALID", `there is no bus "${name}" (${known})`, { details: { path: "bus" } });
  }

  /** The bus that a worker handles a message on: the one that all workers here are to use, or that of the message. */
  handling(envelope: Envelope): MessageBus {
    return this.#forced ?? this.of(envelope);
  }

  /** The same, for a message that names this bus. */
  handlingFor(name: string | undefined): MessageBus {
    return this.#forced ?? this.#named(name);
  }

  /** The bus that a message names; the default one when it names none, or one that only the program that sent it knew. */
  of(envelope: Envelope): MessageBus {
    if (this.#buses.size === 1) return this.default;
    return this.#named(envelope.last(busName)?.bus);
  }

  #named(name: string | undefined): MessageBus {
    return (name === undefined ? undefined : this.#buses.get(name)) ?? this.default;
  }
}
