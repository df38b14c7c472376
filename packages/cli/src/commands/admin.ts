import { once } from "node:events";
import type { AuthConfig } from "@symphony/admin-api";
import { createMessenger, type Messenger, type MessengerConfig } from "@symphony/core";
import type { Check } from "@symphony/worker-runner";
import { checkedAuth } from "../admin-auth.ts";
import { defineCommand, text } from "../command.ts";
import type { Io } from "../io.ts";
import { startMetrics } from "../metrics.ts";
import { isPostgres, withPostgresOptions } from "../postgres-options.ts";
import { openSession, type Session } from "../session.ts";
import type { Settings } from "../settings.ts";
import { startProbes } from "../start-probes.ts";
import { workerLogger } from "./consume.ts";

/** Of the pool for looking: small, and no statement may take long, so that what looks never holds up what works. */
const READER_OPTIONS = {
  autoSetup: "defer",
  poolSize: 3,
  statementTimeoutMs: 2_000,
  connectTimeoutMs: 2_000,
  readOnly: true,
  notify: false,
  applicationName: "symphony admin",
};

/** The same transports over connections of their own; those that have none are shared. */
function openReader(config: MessengerConfig, messenger: Messenger): Promise<Messenger> {
  const shared = messenger.transportNames.filter((name) => !isPostgres(config.transports[name]?.dsn ?? ""));
  const transports = Object.fromEntries(shared.map((name) => [name, messenger.transport(name)]));
  const { logger, runtime } = messenger;
  return createMessenger(withPostgresOptions(config, READER_OPTIONS), { transports, logger, runtime });
}

/** Who is counted, and how often. Environment beats configuration, as everywhere. */
function admission({ trustedProxies, requestsPerMinute, failuresPerMinute }: Settings, config: AuthConfig) {
  return {
    trustedProxies: trustedProxies.value ?? config.trustedProxies,
    hosts: config.hosts,
    limits: {
      ...config.limits,
      ...(requestsPerMinute.value === undefined ? {} : { requestsPerMinute: requestsPerMinute.value }),
      ...(failuresPerMinute.value === undefined ? {} : { failuresPerMinute: failuresPerMinute.value }),
    },
  };
}

async function serve(io: Io, session: Session, json: boolean): Promise<void> {
  // Loaded here: no other command needs a web server.
  const { createAdminServer } = await import("@symphony/admin-api");
  const { settings, loaded } = session;
  const { auth, authConfig } = await checkedAuth(session);
  const logger = workerLogger(session, json);
  const messenger = await createMessenger(loaded.config, { logger });
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => logger.flushSync());
  cleanUp.defer(() => messenger.close());
  const reader = await openReader(loaded.config, messenger);
  cleanUp.defer(() => reader.close());
  const { adminHost, adminPort, shutdownTimeout } = settings;
  const server = createAdminServer({
    messenger,
    reader,
    auth,
    ...admission(settings, authConfig),
    logger,
    environment: io.environment,
    ...(adminHost.value === undefined ? {} : { host: adminHost.value }),
    ...(adminPort.value === undefined ? {} : { port: adminPort.value }),
  });
  const checks = (): readonly Check[] => [
    { name: "staying", ok: !io.signal.aborted, detail: io.signal.aborted ? "stopping" : "listening" },
  ];
  const metrics = await startMetrics({ messenger, transports: messenger.transportNames, logger, cleanUp });
  await server.start();
  const healthPort = await startProbes({
    port: settings.healthPort.value ?? 0,
    wanted: settings.healthPort.source !== "default",
    metricsToken: settings.metricsToken.value,
    // Listening by now. That the database is away is told by every answer, and no other instance would fare better.
    checks: (probe) => (probe === "readyz" ? checks() : []),
    ...{ metrics, logger, cleanUp },
  });
  if (healthPort !== null) logger.info({ health_port: healthPort }, "probes and metrics listening");
  if (!io.signal.aborted) await once(io.signal, "abort");
  logger.info({}, "stopping: requests in progress are finished");
  await server.stop({ deadlineMs: (shutdownTimeout.value ?? 0) * 1_000 });
}

export const admin = defineCommand({
  usage: "admin",
  describe: "Serve the admin API, in the foreground, until it is stopped",
  options: {
    host: text("Address to listen on (127.0.0.1)"),
    port: text("Port, 0 for any (8080)"),
    "health-port": text("Port of the probes and metrics, 0 for any (8081)"),
  },
  examples: [
    ["SYMPHONY_AUTH_TOKEN_FILE=token symphony admin", "one token with all scopes, for oneself"],
    ["SYMPHONY_AUTH_TOKENS_FILE=tokens.json symphony admin --host 0.0.0.0", "named, scoped tokens (symphony token create)"],
    [
      "SYMPHONY_AUTH_JWKS_URL=https://…supabase.co/auth/v1/.well-known/jwks.json symphony admin",
      "users of a Supabase project, by auth.roles",
    ],
  ],
  async run(io, flags) {
    const session = await openSession(io, flags, flags);
    await serve(io, session, flags.json === true);
  },
});
