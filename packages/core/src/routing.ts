import { MessengerError } from "./errors.ts";

/**
 * Message name → transport names. The exact name wins, then the longest `prefix.*`, then `*`.
 */
export class Router {
  readonly #exact = new Map<string, readonly string[]>();
  readonly #prefixes: (readonly [prefix: string, transports: readonly string[]])[] = [];
  readonly #fallback: readonly string[] | undefined;

  constructor(routing: Readonly<Record<string, readonly string[]>>) {
    for (const [pattern, transports] of Object.entries(routing)) {
      if (pattern.endsWith(".*")) this.#prefixes.push([pattern.slice(0, -1), transports]);
      else if (pattern !== "*") this.#exact.set(pattern, transports);
    }
    this.#prefixes.sort(([a], [b]) => b.length - a.length);
    this.#fallback = routing["*"];
  }

  /** @throws {MessengerError} `ROUTE_NOT_FOUND` */
  route(type: string): readonly string[] {
    const found = this.find(type);
    if (found === undefined) {
      throw new MessengerError("ROUTE_NOT_FOUND", `no route for message "${type}": add "${type}" or "*" to config.routing`, {
        details: { type },
      });
    }
    return found;
  }

  find(type: string): readonly string[] | undefined {
    return this.#exact.get(type) ?? this.#prefixes.find(([prefix]) => type.startsWith(prefix))?.[1] ?? this.#fallback;
  }
}
