import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A listening HTTP server of this program. */
export interface Listening {
  /** `http://127.0.0.1:49152`, without a slash at the end. */
  readonly url: string;
  /** Ends every connection and stops listening. Idempotent. */
  close(): Promise<void>;
}

/** Listens on this machine only. Port 0: any free one. */
export async function listen(listener: RequestListener, port: number): Promise<Listening> {
  const server: Server = createServer({ requestTimeout: 10_000 }, listener);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** The request is longer than allowed; what follows of it is not read. */
export class BodyTooLargeError extends Error {
  override readonly name = "BodyTooLargeError";
}

/**
 * The bytes of a request's body.
 *
 * @throws {BodyTooLargeError} there are more than `limit` of them.
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limit) throw new BodyTooLargeError(`a body may have ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
