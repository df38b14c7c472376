import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { EmbeddedPostgresError } from "./errors.ts";
import { readJson, writeJson } from "./protocol.ts";

/** What a connection string is made of. Belongs to the data directory: initdb writes the password into it. */
export interface Credentials {
  readonly password: string;
  /** The port of the last start; 0 before the first. */
  readonly port: number;
}

export function readCredentials(path: string): Credentials {
  const { password, port } = readJson(path) ?? {};
  if (typeof password === "string" && typeof port === "number") return { password, port };
  throw new EmbeddedPostgresError(`${path} is missing or damaged, and with it the password of the data beside it`);
}

export function writeCredentials(path: string, credentials = { password: randomBytes(24).toString("hex"), port: 0 }): Credentials {
  writeJson(path, credentials);
  return credentials;
}

/** `preferred` if nothing listens there, otherwise any free port of the loopback interface. */
export async function freePort(preferred: number): Promise<number> {
  const server = createServer();
  try {
    server.listen(preferred, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return port;
  } catch (error) {
    if (preferred === 0) throw error;
    return await freePort(0);
  }
}
