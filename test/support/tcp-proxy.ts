import { connect, createServer, type Server, type Socket } from "node:net";
import { pause } from "@symphony/core/testing";
import { seeded } from "./random.ts";

export type Direction = "toServer" | "toClient";

/**
 * A stretch of network between clients and a server, with the faults of real ones. A fault is for the connections that
 * are there when it is called, and says if it is for later ones too: half-open connections beside healthy new ones are
 * the case that freezes naive clients.
 */
export interface TcpProxy {
  readonly port: number;
  /** Connections that are open on at least one side. */
  readonly connections: number;
  /** Connections since the start. */
  readonly accepted: number;
  /** Holds every chunk back for this long, give or take the jitter, in order. For present and later connections; 0 heals. */
  delay(ms: number, jitterMs?: number): void;
  /** Resets what is open. */
  cut(): void;
  /**
   * Swallows what is sent from now on, silently; the sockets stay open. `later`: new connections as well, until `heal`.
   * `noticedAfterMs`: that long after a client of the present ones has gone, the server finds out, as its probes do where a
   * network lies between; through a proxy on the same machine it never would. Default: never.
   */
  blackHole(o?: { readonly directions?: readonly Direction[]; readonly later?: boolean; readonly noticedAfterMs?: number }): void;
  /** Accepts no connections, as a server that is down: they are reset. */
  refuse(refused: boolean): void;
  /**
   * Lets the next `times` requests that contain `marker` pass, and swallows the server's answers to them and to all that
   * follows on that connection. Afterwards the connection is reset, or stays half-open.
   */
  dropReplies(o: {
    readonly marker: string;
    readonly times?: number;
    readonly ending?: "reset" | "halfOpen";
    readonly resetAfterMs?: number;
  }): void;
  /** Replies that `dropReplies` has dropped so far. */
  readonly dropped: number;
  /** New connections are healthy again, and no marker is looked for. Those that are half-open stay it. */
  heal(): void;
  close(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly swallowed: Set<Direction>;
  /** The end of what the client has sent, for markers that two chunks share. */
  tail: string;
  noticedAfterMs?: number;
}

interface Trap {
  readonly marker: string;
  left: number;
  readonly ending: "reset" | "halfOpen";
  readonly resetAfterMs: number;
}

export async function startTcpProxy(target: { readonly host: string; readonly port: number }, seed = 1): Promise<TcpProxy> {
  const proxy = new FaultyNetwork(target, seed);
  await proxy.listen();
  return proxy;
}

class FaultyNetwork implements TcpProxy {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #links = new Set<Link>();
  readonly #listener: Server;
  readonly #random: () => number;
  #delayMs = 0;
  #jitterMs = 0;
  #holeForLater: readonly Direction[] = [];
  #refused = false;
  #trap: Trap | undefined;
  port = 0;
  accepted = 0;
  dropped = 0;

  constructor(target: { readonly host: string; readonly port: number }, seed: number) {
    this.#target = target;
    this.#random = seeded(seed).next;
    this.#listener = createServer((socket) => this.#accept(socket));
  }

  get connections(): number {
    return this.#links.size;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen(0, "127.0.0.1", resolve);
    });
    const address = this.#listener.address();
    if (typeof address === "object" && address !== null) this.port = address.port;
  }

  delay(ms: number, jitterMs = 0): void {
    this.#delayMs = ms;
    this.#jitterMs = jitterMs;
  }

  cut(): void {
    for (const link of this.#links) reset(link);
  }

  blackHole({
    directions = ["toServer", "toClient"],
    later = false,
    noticedAfterMs,
  }: {
    directions?: readonly Direction[];
    later?: boolean;
    noticedAfterMs?: number;
  } = {}): void {
    for (const link of this.#links) {
      for (const direction of directions) link.swallowed.add(direction);
      if (noticedAfterMs !== undefined) link.noticedAfterMs = noticedAfterMs;
    }
    if (later) this.#holeForLater = directions;
  }

  refuse(refused: boolean): void {
    this.#refused = refused;
  }

  dropReplies(o: { marker: string; times?: number; ending?: "reset" | "halfOpen"; resetAfterMs?: number }): void {
    this.#trap = { marker: o.marker, left: o.times ?? 1, ending: o.ending ?? "reset", resetAfterMs: o.resetAfterMs ?? 200 };
  }

  heal(): void {
    this.#delayMs = 0;
    this.#jitterMs = 0;
    this.#holeForLater = [];
    this.#refused = false;
    this.#trap = undefined;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#refused) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#target, noDelay: true });
    client.setNoDelay(true);
    const link: Link = { client, server, swallowed: new Set(this.#holeForLater), tail: "" };
    this.#links.add(link);
    this.#forward(link, "toServer");
    this.#forward(link, "toClient");
    // Until both sides are closed: behind a black hole the server never hears that its client has gone.
    for (const socket of [client, server]) socket.on("close", () => client.destroyed && server.destroyed && this.#links.delete(link));
    client.on("close", () => {
      if (link.noticedAfterMs !== undefined) setTimeout(() => reset(link), link.noticedAfterMs).unref();
    });
  }

  #forward(link: Link, direction: Direction): void {
    const [from, to] = direction === "toServer" ? [link.client, link.server] : [link.server, link.client];
    // One after the other: jitter must not reorder a stream.
    let ready = Promise.resolve();
    const pass = (write: () => void): void => {
      const waitMs = this.#delayMs === 0 ? 0 : this.#delayMs + (this.#random() * 2 - 1) * this.#jitterMs;
      if (waitMs <= 0) {
        ready = ready.then(write);
        return;
      }
      ready = Promise.all([ready, pause(waitMs)]).then(write);
    };
    from.on("data", (chunk: Buffer) => {
      if (direction === "toServer") this.#spring(link, chunk);
      if (link.swallowed.has(direction)) {
        if (direction === "toClient") this.dropped += 1;
        return;
      }
      pass(() => {
        if (!to.destroyed) to.write(chunk);
      });
    });
    // A side that ends tells the other, unless the network between them is gone.
    from.on("end", () => pass(() => !link.swallowed.has(direction) && to.end()));
    from.on("error", () => reset(link));
    from.on("close", () => pass(() => !link.swallowed.has(direction) && to.destroy()));
  }

  /** The request passes; its answer will not. */
  #spring(link: Link, chunk: Buffer): void {
    const trap = this.#trap;
    if (trap === undefined) return;
    const text = link.tail + chunk.toString("latin1");
    link.tail = text.slice(-(trap.marker.length - 1));
    if (!text.includes(trap.marker) || link.swallowed.has("toClient")) return;
    trap.left -= 1;
    if (trap.left <= 0) this.#trap = undefined;
    link.swallowed.add("toClient");
    if (trap.ending === "halfOpen") link.swallowed.add("toServer");
    else void pause(trap.resetAfterMs).then(() => reset(link));
  }
}

function reset(link: Link): void {
  for (const socket of [link.client, link.server]) {
    if (socket.destroyed) continue;
    // libuv cannot reset what is shutting down, and the process then never exits.
    if (socket.writableEnded || socket.connecting) socket.destroy();
    else socket.resetAndDestroy();
  }
}
