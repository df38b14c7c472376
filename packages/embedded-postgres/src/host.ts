import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type Cluster, runCluster } from "./cluster.ts";
import { filesOf, type Location } from "./location.ts";
import { complain, rotateLog } from "./log-file.ts";
import { type Answer, receiveOne, send, writeJson } from "./protocol.ts";
import { after, deadlineIn, every, type Timer, until } from "./timing.ts";

/** How long a host without any client waits for its first: the one that started it may have been killed meanwhile. */
const FIRST_CLIENT_WITHIN_MS = 5_000;
const ROTATE_EVERY_MS = 60_000;
const FAREWELL_MS = 1_000;

/**
 * The process that owns PostgreSQL, for all clients of one directory. Holds the lock for as long as it lives.
 *
 * An open connection is a client's claim. The operating system closes it when the client dies, in whatever way; when
 * none is left and the linger time is over, PostgreSQL is stopped and the process ends.
 */
export class Host {
  readonly #location: Location;
  readonly #token = randomBytes(24).toString("hex");
  readonly #clients = new Set<Socket>();
  readonly #server: Server;
  #answer: Answer | undefined;
  #starting: Promise<Cluster> | undefined;
  #linger: Timer | undefined;
  #ending: Promise<number> | undefined;
  readonly #ended = Promise.withResolvers<number>();

  constructor(location: Location) {
    this.#location = location;
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  /** Resolves with the exit code, when PostgreSQL is stopped and nobody is connected. */
  async run(): Promise<number> {
    const files = filesOf(this.#location.directory);
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const { port } = this.#server.address() as AddressInfo;
    writeJson(files.host, { pid: process.pid, port, token: this.#token });
    this.#lingerFor(FIRST_CLIENT_WITHIN_MS);
    every(ROTATE_EVERY_MS, () => rotateLog(files.serverLog));
    this.#starting = runCluster(this.#location);
    try {
      const { connectionString, version, gone } = await this.#starting;
      this.#tellAll({ kind: "ready", connectionString, version });
      // The clients see their connection end, attach again, and with that start a new host, which starts PostgreSQL again.
      void gone.then(() => this.end(1));
    } catch (error) {
      complain(error);
      this.#tellAll({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
      void this.end(1);
    }
    return await this.#ended.promise;
  }

  /** Stops everything; a start under way is let finish first. Safe to call again. */
  end(exitCode: number): Promise<number> {
    this.#ending ??= this.#end(exitCode);
    return this.#ending;
  }

  async #end(exitCode: number): Promise<number> {
    this.#linger?.cancel();
    // First, so that newcomers start a host of their own, which then waits for the lock, instead of meeting a closed door.
    rmSync(filesOf(this.#location.directory).host, { force: true });
    this.#server.close();
    for (const client of this.#clients) client.end();
    const cluster = await this.#starting?.catch(() => undefined);
    await cluster?.stop();
    // What was said to them last has to arrive.
    await until(() => (this.#clients.size === 0 ? true : undefined), deadlineIn(FAREWELL_MS));
    this.#ended.resolve(exitCode);
    return exitCode;
  }

  #welcome(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    receiveOne(socket, ({ token, lingerMs }) => {
      if (!isSame(token, this.#token) || typeof lingerMs !== "number" || this.#ending !== undefined) {
        socket.destroy();
        return;
      }
      this.#clients.add(socket);
      this.#linger?.cancel();
      socket.on("close", () => {
        this.#clients.delete(socket);
        if (this.#clients.size === 0) this.#lingerFor(lingerMs);
      });
      if (this.#answer !== undefined) send(socket, this.#answer);
    });
  }

  #tellAll(answer: Answer): void {
    this.#answer = answer;
    for (const client of this.#clients) send(client, answer);
  }

  #lingerFor(ms: number): void {
    this.#linger?.cancel();
    this.#linger = after(ms, () => void this.end(0));
  }
}

/** Takes as long whatever was sent. */
function isSame(given: unknown, token: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return typeof given === "string" && timingSafeEqual(digest(given), digest(token));
}
