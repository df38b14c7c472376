import type pg from "pg";
import { createPgBossTransport } from "../index.ts";
import { drainTransfers, openMessenger, QUEUES } from "./transfers.ts";

/**
 * A worker in a process of its own that kills itself with SIGKILL at one statement of its transactional handler: the
 * handler's own, those of its dispatch, the acknowledgement, the commit.
 *
 * Arguments: connection string, schema, number of the statement (from 1), and when: before it is sent, when it has been
 * sent, or when it was answered.
 */
const [url = "", schema = "", at = "", when = ""] = process.argv.slice(2);

function kill(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;);
}

function killAt(client: pg.ClientBase): void {
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  let count = 0;
  const watched = (...args: unknown[]): Promise<unknown> => {
    count += 1;
    if (count !== Number(at)) return query(...args);
    if (when === "before") kill();
    const answered = query(...args);
    if (when === "sent") setImmediate(kill);
    return answered.then(kill);
  };
  Object.assign(client, { query: watched });
}

const transport = await createPgBossTransport({ dsn: url, schema, queues: QUEUES, autoSetup: false, applicationName: `${schema}-victim` });
const messenger = await openMessenger(transport, schema, killAt);
await drainTransfers(transport, messenger, "victim");
await transport.close();
