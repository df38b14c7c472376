import { connect, type Socket } from "node:net";

/** What a client does wrong. */
export type Kind = "idle" | "headers" | "bodies" | "readers";

export interface ClientJob {
  readonly kind: Kind;
  readonly url: string;
  readonly connections: number;
  /** Whence it calls: each process from another address of this machine. */
  readonly localAddress: string;
  /** Of somebody who is let in: the worst that a client can have. */
  readonly token: string;
}

/** What all connections of one process have come to. */
export interface ClientReport {
  readonly opened: number;
  /** Connected at the moment. */
  readonly open: number;
  readonly closed: number;
}

/** Milliseconds after which a connection that was closed is made again, and between two bytes of a slow one. */
const AGAIN_MS = 5_000;
const DRIP_MS = 1_000;

/** Keeps so many slow connections up, until the process is told to end. */
export function attack(job: ClientJob): () => ClientReport {
  const report = { opened: 0, open: 0, closed: 0 };
  const { hostname, port } = new URL(job.url);
  const open = (): void => {
    const socket = connect({ host: hostname, port: Number(port), localAddress: job.localAddress });
    socket.on("connect", () => {
      report.opened += 1;
      report.open += 1;
      socket.once("close", () => {
        report.open -= 1;
      });
      begin(job, socket);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      report.closed += 1;
      setTimeout(open, AGAIN_MS);
    });
  };
  // In portions: a queue of connections that overflows is a matter of the kernel, and not what is measured.
  let left = job.connections;
  const timer = setInterval(() => {
    for (let n = 0; n < 50 && left > 0; n += 1, left -= 1) open();
    if (left === 0) clearInterval(timer);
  }, 50);
  return () => ({ ...report });
}

function begin({ kind, token }: ClientJob, socket: Socket): void {
  const authorization = `Authorization: Bearer ${token}`;
  if (kind === "idle") return;
  if (kind === "headers") {
    socket.write("GET /api/symphony/status HTTP/1.1\r\nHost: localhost\r\n");
    drip(socket, "X-Slow: 1\r\n");
  }
  if (kind === "bodies") {
    const head = ["Host: localhost", authorization, "Content-Type: application/json", "Content-Length: 60000"];
    socket.write(`POST /api/symphony/dispatch HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n{"message":`);
    drip(socket, " ");
  }
  if (kind === "readers") {
    socket.pause();
    socket.write(`GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n${authorization}\r\n\r\n`.repeat(20));
  }
  // What comes is not looked at; a reader does not even take it.
  if (kind !== "readers") socket.resume();
}

function drip(socket: Socket, text: string): void {
  const timer = setInterval(() => socket.write(text), DRIP_MS);
  socket.once("close", () => clearInterval(timer));
}
