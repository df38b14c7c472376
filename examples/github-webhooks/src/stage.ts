import { randomUUID } from "node:crypto";
import {
  type Countable,
  createMessenger,
  isCountable,
  isListable,
  isReapable,
  type Listable,
  type Messenger,
  type Transport,
} from "@symphony/core";
import pg from "pg";
import config from "../symphony.config.ts";
import { type Admin, startAdmin } from "./admin.ts";
import { beginRun, lockForRun, setUpTables } from "./database.ts";
import { openDatabaseServer } from "./database-server.ts";
import { externalFleet, type Fleet, startFleet } from "./fleet.ts";
import type { Listening } from "./http.ts";
import { summaryPage } from "./pages.ts";
import { startReceiver } from "./receiver.ts";
import { type SubscriberServer, startSubscriberServer } from "./subscriber-server.ts";

/** Everything that runs while the example runs. */
export interface Stage extends AsyncDisposable {
  readonly runId: string;
  readonly pool: pg.Pool;
  readonly transport: Transport & Countable & Listable;
  readonly receiver: Listening;
  readonly subscribers: SubscriberServer;
  readonly fleet: Fleet;
  readonly admin: Admin;
  /** Whether a worker has begun since this run did. */
  hasWorker(): Promise<boolean>;
  /** Messages that the receiver made. */
  readonly accepted: ReadonlySet<string>;
  /** Webhooks that came again and became nothing. */
  readonly duplicates: { readonly count: number };
}

export interface StageOptions {
  readonly signal: AbortSignal;
  readonly port: number;
  /** False: somebody else runs the worker. */
  readonly worker: boolean;
  readonly subscriberPort: number;
  readonly say: (text: string) => void;
  readonly onLog: (line: string) => void;
}

const TRANSPORT = "default";
/** Runs whose activities stay in the database. */
const RUNS_KEPT = 5;

/**
 * Opens database, messenger, receiver, subscribers and worker; disposing closes them in the opposite order, also those
 * that were open when a later one failed.
 *
 * @throws {Error} another run works on the same database.
 */
export async function openStage(options: StageOptions): Promise<Stage> {
  await using opening = new AsyncDisposableStack();
  const { connectionString } = opening.adopt(await openDatabaseServer(options.say), (it) => it.close());
  const pool = opening.adopt(new pg.Pool({ connectionString, max: 3 }), (it) => it.end());
  // The pool makes a new connection when one is lost; without a listener the program would end.
  pool.on("error", () => undefined);
  await setUpTables(pool);
  opening.defer(await lockForRun(pool));

  const messenger = opening.adopt(await openMessenger(connectionString), (it) => it.close());
  await messenger.setUp();
  const transport = messenger.transport(TRANSPORT);
  if (!isCountable(transport) || !isListable(transport) || !isReapable(transport))
    throw new Error("the example needs a transport that can count, list and tell its workers");

  const runId = randomUUID();
  const beganAt = await beginRun(pool, runId, RUNS_KEPT);
  const subscribers = opening.adopt(await startSubscriberServer({ port: options.subscriberPort, runId }), (it) => it.close());
  const accepted = new Set<string>();
  const duplicates = { count: 0 };
  const receiver = await startReceiver({
    messenger,
    runId,
    port: options.port,
    page: (path) => summaryPage(pool, runId, path),
    onAccepted: ({ messageId, duplicate }) => {
      accepted.add(messageId);
      if (duplicate) duplicates.count += 1;
    },
  });
  opening.defer(() => receiver.close());
  const fleet = !options.worker
    ? externalFleet()
    : startFleet({
        signal: options.signal,
        environment: { DATABASE_URL: connectionString, WEBHOOKS_SUBSCRIBER_URL: subscribers.url },
        onLog: options.onLog,
        onRestart: (how) => options.say(`the worker was lost (${how}) and is started again`),
      });
  opening.defer(() => fleet.stop());
  const admin = opening.adopt(await startAdmin(messenger), (it) => it.close());

  const open = opening.move();
  return {
    runId,
    pool,
    transport,
    receiver,
    subscribers,
    fleet,
    admin,
    hasWorker: async () =>
      (await transport.listWorkers()).some(({ startedAt }) => !options.worker || Date.parse(startedAt) >= beganAt.getTime()),
    accepted,
    duplicates,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

function openMessenger(dsn: string): Promise<Messenger> {
  return createMessenger({ ...config, transports: { ...config.transports, [TRANSPORT]: { ...config.transports[TRANSPORT], dsn } } });
}
