import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock, Logger } from "@symphony/core";
import { hasBody } from "./http/body.ts";

/** Open connections, at most. */
const MAX_CONNECTIONS = 1_024;
/** From here on a new one takes the place of one that only waits. */
const CROWDED = 960;
/** Requests of one connection that are under way at a time. Clients that send on before they have an answer are rare, and none sends many. */
const MAX_AHEAD = 8;
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
  /** Connections that end with the answers to what came before. */
  readonly #ending = new WeakSet<Socket>();
  /** Requests of a connection that have no answer yet. */
  readonly #ahead = new WeakMap<Socket, number>();
  #open = 0;
  #displaced = 0;
  #refused = 0;
  #hasty = 0;
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

  /**
   * Whether a request is one too many on its connection; asked before `during`. The first such request is to be refused, and
   * those after it are not worth an answer: the connection ends with that of the first.
   */
  tooMany({ socket }: IncomingMessage): "no" | "first" | "ignore" {
    if (socket.destroyed || this.#ending.has(socket)) return "ignore";
    if (this.#aheadOf(socket) < MAX_AHEAD) return "no";
    this.#ending.add(socket);
    // What has been read is worked off; of the rest nothing is read any more.
    socket.pause();
    this.#hasty += 1;
    this.#tell();
    return "first";
  }

  #aheadOf(socket: Socket): number {
    return this.#ahead.get(socket) ?? 0;
  }

  /** Does the work of one request; its connection keeps its place meanwhile. */
  async during(request: IncomingMessage, work: () => Promise<void>): Promise<void> {
    const { socket } = request;
    this.#ahead.set(socket, this.#aheadOf(socket) + 1);
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
      this.#ahead.set(socket, this.#aheadOf(socket) - 1);
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
    const counts = { open: this.#open, displaced: this.#displaced, refused: this.#refused, hasty: this.#hasty };
    this.#logger.warn(
      { audit: true, ...counts },
      "the admin listener is crowded: connections that only wait, or do not wait for answers, are closed",
    );
  }
}
