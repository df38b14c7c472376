import { once } from "node:events";
import { connect } from "node:net";
import { type Clock, systemClock } from "@symphony/core";
import { wait } from "./wait.ts";

export interface DatabaseServer {
  readonly connectionString: string;
  /** Gives it back. When nobody else uses the embedded one, it is stopped, and that is waited for. */
  close(): Promise<void>;
}

/** Milliseconds; stopping takes a tenth of it. Who else uses the server keeps it running, and us no longer than this. */
const STOPPED_WITHIN_MS = 3_000;
const LOOK_EVERY_MS = 50;

/** `DATABASE_URL`, or the embedded PostgreSQL of this directory. */
export async function openDatabaseServer(say: (text: string) => void, clock: Clock = systemClock): Promise<DatabaseServer> {
  const given = process.env.DATABASE_URL;
  if (given !== undefined && given !== "") {
    say("using the PostgreSQL of DATABASE_URL");
    return { connectionString: given, close: async () => undefined };
  }
  say("starting an embedded PostgreSQL in .symphony/postgres");
  // Loaded only here: an image that is given a database has no server of its own.
  const { acquire } = await import("@symphony/embedded-postgres");
  const postgres = await acquire({ lingerMs: 0 });
  say(`PostgreSQL ${postgres.version} is up`);
  return {
    connectionString: postgres.connectionString,
    async close() {
      await postgres.release();
      await untilStopped(new URL(postgres.connectionString), clock);
    },
  };
}

/** A program that has ended leaves nothing running. */
async function untilStopped(address: URL, clock: Clock): Promise<void> {
  const until = clock.monotonic() + STOPPED_WITHIN_MS;
  const never = new AbortController().signal;
  while ((await answers(address)) && clock.monotonic() < until) await wait(LOOK_EVERY_MS, never, clock);
}

async function answers({ hostname, port }: URL): Promise<boolean> {
  const socket = connect(Number(port), hostname);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    // Refused: that is what is waited for.
    return false;
  } finally {
    socket.destroy();
  }
}
