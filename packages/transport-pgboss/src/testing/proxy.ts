import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Stands between the transport and PostgreSQL, and can stop to pass anything on without closing a connection. */
export class HoleProxy {
  readonly #target: URL;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isDown = false;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((client) => this.#pass(client));
  }

  static async before(url: string): Promise<HoleProxy> {
    const proxy = new HoleProxy(new URL(url));
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    const url = new URL(this.#target);
    url.hostname = "127.0.0.1";
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.toString();
  }

  /** From now on the connections there are carry nothing, or nothing back; new ones work. */
  swallow(what: "answers" | "everything"): void {
    for (const [client, server] of this.#pairs) {
      if (what === "everything") client.unpipe(server).resume();
      server.unpipe(client).resume();
    }
  }

  /** As a server that is down, until it is up again. */
  down(isDown: boolean): void {
    this.#isDown = isDown;
    if (isDown) for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  get open(): number {
    return this.#pairs.size;
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(client: Socket): void {
    if (this.#isDown) {
      client.destroy();
      return;
    }
    const server = connect(Number(this.#target.port === "" ? 5432 : this.#target.port), this.#target.hostname);
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    client.pipe(server).pipe(client);
  }
}
