import { once } from "node:events";
import type { AuthOptions } from "@symphony/admin-api";
import { createMessenger } from "@symphony/core";
import { defineCommand, text } from "../command.ts";
import type { Io } from "../io.ts";
import { openSession, type Session } from "../session.ts";
import type { Settings } from "../settings.ts";
import { workerLogger } from "./consume.ts";

/** Secrets come from the environment only: what is on a command line is in every list of processes. */
function authOf({ authToken, authTokensFile, cronSecret }: Settings, publicDocs: boolean): AuthOptions {
  return {
    publicDocs,
    ...(authToken.value === undefined ? {} : { token: authToken.value }),
    ...(authTokensFile.value === undefined ? {} : { tokensFile: authTokensFile.value }),
    ...(cronSecret.value === undefined ? {} : { cronSecret: cronSecret.value }),
  };
}

async function serve(io: Io, session: Session, json: boolean): Promise<void> {
  // Loaded here: no other command needs a web server.
  const { assertCredentials, createAdminServer, parseAuthConfig } = await import("@symphony/admin-api");
  const { settings, loaded } = session;
  const auth = authOf(settings, parseAuthConfig(loaded.parsed.auth).publicDocs);
  assertCredentials(auth);
  const logger = workerLogger(session, json);
  const messenger = await createMessenger(loaded.config, { logger });
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => logger.flushSync());
  cleanUp.defer(() => messenger.close());
  const { adminHost, adminPort, shutdownTimeout } = settings;
  const server = createAdminServer({
    messenger,
    auth,
    logger,
    environment: io.environment,
    ...(adminHost.value === undefined ? {} : { host: adminHost.value }),
    ...(adminPort.value === undefined ? {} : { port: adminPort.value }),
  });
  await server.start();
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
  },
  examples: [
    ["SYMPHONY_AUTH_TOKEN_FILE=token symphony admin", "one token with all scopes, for oneself"],
    ["SYMPHONY_AUTH_TOKENS_FILE=tokens.json symphony admin --host 0.0.0.0", "named, scoped tokens (symphony token create)"],
  ],
  async run(io, flags) {
    const session = await openSession(io, flags, flags);
    await serve(io, session, flags.json === true);
  },
});
