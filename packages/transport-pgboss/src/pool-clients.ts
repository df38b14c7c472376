import type pg from "pg";
import { isSilence } from "./driver-errors.ts";

/**
 * When a connection has not answered in time, those that lie idle are likely to be as dead, and each would cost as long:
 * they are replaced.
 */
export function doubt(pool: pg.Pool, error: unknown): void {
  if (!isSilence(error)) return;
  for (let left = pool.idleCount; left > 0; left--) {
    pool.connect().then(
      (client) => {
        client.release(true);
        // Else its good-bye would wait for the other end.
        cut(client);
      },
      () => undefined,
    );
  }
}

/** What the pool and the driver keep to themselves: the idle connections, of which the last one is taken first, and what each has planned. */
interface Insides {
  readonly _idle?: { readonly client?: { readonly connection?: { readonly parsedStatements?: Readonly<Record<string, unknown>> } } }[];
}

/**
 * Lets the next statement go out on an idle connection that has planned it, or else on the one that has planned most: so
 * that two connections, which are busy all the time, do not leave it to a third one to do all over again.
 */
export function preferPlanned(pool: pg.Pool, name: string): void {
  const { _idle: idle = [] } = pool as unknown as Insides;
  // Who waits already takes from the end.
  const free = idle.length - pool.waitingCount;
  if (free < 2) return;
  const worth = idle.slice(0, free).map(({ client }) => {
    const planned = client?.connection?.parsedStatements ?? {};
    return name in planned ? Number.POSITIVE_INFINITY : Object.keys(planned).length;
  });
  idle.splice(free - 1, 0, ...idle.splice(worth.lastIndexOf(Math.max(...worth)), 1));
}

/** Gives a connection back when all has been answered; not for further use if something failed. */
export async function released(client: pg.PoolClient, answers: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  let broken: Error | undefined;
  const onError = (error: Error): void => {
    broken ??= error;
  };
  client.on("error", onError);
  for (const end of await Promise.allSettled(answers)) if (end.status === "rejected") onError(end.reason as Error);
  client.removeListener("error", onError);
  client.release(broken);
}

/** Runs `work` between BEGIN and COMMIT on a connection of the pool. Throws what it throws. */
export async function transact<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error): void => {
    broken ??= error;
  };
  client.on("error", onError);
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    // A connection that cannot even roll back is closed, and the server rolls back with it.
    await client.query("ROLLBACK").catch((failure: Error) => {
      broken ??= failure;
    });
    throw error;
  } finally {
    client.removeListener("error", onError);
    client.release(broken);
  }
}

/** The driver has no way to drop a connection without asking the other end. */
export function cut(client: pg.ClientBase): void {
  (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream?.destroy();
}
