import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock, Logger } from "@symphony/core";
import { hasBody } from "./http/body.ts";

/** Open connections, at most. */
const MAX_CONNECTIONS = 1_024;
/** From here on a new one takes the place of one that only waits. */
const CROWDED = 960;
/** Milliseconds without a byte in either direction. The longest request, `consume`, is silent for 55 seconds. */
const SILENT_MS = 65_000;
/** Milliseconds between two lines of the log that tell of a flood. */
const TELL_EVERY_MS = 60_000;

/**
 * Keeps the listener open to honest clients while others fill it with connections on which nothing happens. When it is
 * crowded, a new connection takes the place of the one that has waited longest: for a request, for the rest of its body, or
 * for somebody to read its answer. A request that is being worked on is never given up.
 */
export class Connections {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Open ones that only wait, the longest first. */
  readonly #waiting = new Set<Socket>();
  /** Requests that are being worked on; a client may send the next one before it has the answer to the last. */
  readonly #working = new WeakMap<Socket, number>();
  #open = 0;
  #displaced = 0;
  #refused = 0;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(server: Server, clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
    server.maxConnections = MAX_CONNECTIONS;
    server.setTimeout(SILENT_MS);
    server.on("connection", (socket) => this.#opened(socket));
    server.on("drop", () => {
      this.#refused += 1;
      this.#tell();
    });
  }

  /** Does the work of one request; its connection keeps its place meanwhile. */
  async during(request: IncomingMessage, work: () => Promise<void>): Promise<void> {
    const { socket } = request;
    let begun = false;
    const begin = (): void => {
      begun = true;
      this.#working.set(socket, (this.#working.get(socket) ?? 0) + 1);
      this.#waiting.delete(socket);
    };
    this.#waits(socket);
    if (hasBody(request)) request.once("end", begin);
    else begin();
    try {
      await work();
    } finally {
      request.off("end", begin);
      if (begun) this.#working.set(socket, (this.#working.get(socket) ?? 1) - 1);
      this.#waits(socket);
    }
  }

  #opened(socket: Socket): void {
    this.#open += 1;
    this.#waiting.add(socket);
    socket.once("close", () => {
      this.#open -= 1;
      this.#waiting.delete(socket);
    });
    if (this.#open <= CROWDED) return;
    const [longest] = this.#waiting;
    if (longest === undefined || longest === socket) return;
    this.#waiting.delete(longest);
    longest.destroy();
    this.#displaced += 1;
    this.#tell();
  }

  /** Last in the line. */
  #waits(socket: Socket): void {
    this.#waiting.delete(socket);
    if (!socket.destroyed && (this.#working.get(socket) ?? 0) === 0) this.#waiting.add(socket);
  }

  #tell(): void {
    const now = this.#clock.monotonic();
    if (now - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = now;
    const counts = { open: this.#open, displaced: this.#displaced, refused: this.#refused };
    this.#logger.warn({ audit: true, ...counts }, "the admin listener is crowded: connections that only wait are closed");
  }
}
