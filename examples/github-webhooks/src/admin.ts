import { randomBytes } from "node:crypto";
import { createAdminServer } from "@symphony/admin-api";
import { ConfigError, type Messenger } from "@symphony/core";

export interface Admin {
  readonly url: string;
  /** Has all scopes, and is forgotten when the example ends. */
  readonly token: string;
  close(): Promise<void>;
}

const USUAL_PORT = 8080;

/** The admin API on its usual port, or on any other one when somebody has that already. */
export async function startAdmin(messenger: Messenger): Promise<Admin> {
  const token = `demo_${randomBytes(24).toString("base64url")}`;
  const open = async (port: number): Promise<Admin> => {
    const server = createAdminServer({ messenger, auth: { token }, port });
    const { url } = await server.start();
    return { url, token, close: () => server.stop() };
  };
  try {
    return await open(USUAL_PORT);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return open(0);
  }
}
