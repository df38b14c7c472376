import { connect, type Socket } from "node:net";

export interface RawOptions {
  /** Milliseconds until the connection is given up. Default 10000. */
  readonly patienceMs?: number;
}

/** Sends bytes as they are; resolves with all that comes back until the first answer is whole or the other side closes. */
export function raw(url: string, bytes: string | Buffer, { patienceMs = 10_000 }: RawOptions = {}): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let received = "";
    const socket: Socket = connect(Number(port), hostname, () => socket.write(bytes));
    const done = (): void => {
      socket.destroy();
      resolve(received);
    };
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      received += chunk;
      if (isWhole(received)) done();
    });
    socket.setTimeout(patienceMs, done).on("error", done).on("close", done);
  });
}

function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /^content-length: *(\d+)/im.exec(text.slice(0, end))?.[1];
  return length === undefined || text.length - end - 4 >= Number(length);
}

/** 0: closed without an answer. */
export const statusOf = (answer: string): number => Number(/^HTTP\/1\.[01] (\d{3}) /.exec(answer)?.[1] ?? 0);

/** A request as text. */
export const head = (lines: readonly string[], target: string, method = "GET", body = ""): string =>
  `${[`${method} ${target} HTTP/1.1`, "Host: localhost", ...lines].join("\r\n")}\r\n\r\n${body}`;
