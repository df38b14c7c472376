import { createMessenger, flushTelemetry, type Messenger, toErrorRecord } from "@symphony/core";
import { createLogger } from "@symphony/telemetry";
import { type ChildOptions, hideV8Flags, runChild } from "@symphony/worker-runner";
import { loadConfig } from "../config-file.ts";
import type { ChildSettings } from "./run-fleet.ts";

const settings = JSON.parse(process.env.SYMPHONY_FLEET_CHILD ?? "{}") as ChildSettings;
const { plan, json } = settings;
// It is meant for this process, not for those that a handler starts.
delete process.env.SYMPHONY_FLEET_CHILD;
hideV8Flags();
const logger = createLogger({ ...(plan.logLevel === undefined ? {} : { level: plan.logLevel }), ...(json ? { pretty: false } : {}) });

// A terminal sends its signals to every process: the supervisor says what is to be done about them.
for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR2"] as const) process.on(signal, () => undefined);

/** Outside of all handlers and threads: nobody knows what state this process is in. The supervisor starts another one. */
function die(error: unknown): void {
  logger.fatal({ err: toErrorRecord(error) }, "an error that nobody caught ends this worker process");
  logger.flushSync();
  process.exit(1);
}
process.on("uncaughtException", die);
process.on("unhandledRejection", die);

/** The supervisor polls for all and wakes them; a child's own poll is for when such a word is lost. */
const OWN_POLL_FACTOR = 30;
const LONGEST_POLL_MS = 3_600_000;

let messenger: Messenger | undefined;

async function prepare(): Promise<ChildOptions> {
  const { config } = await loadConfig({ file: plan.configFile, directory: plan.directory });
  messenger = await createMessenger({ ...config, worker: { ...config.worker, ...plan.handling } }, { logger });
  const limit = process.env.SYMPHONY_CHILD_MESSAGE_LIMIT;
  return {
    configPath: plan.configFile,
    messenger,
    transports: plan.consumed,
    worker: {
      ...plan.worker,
      pollInterval: Math.min(plan.worker.pollInterval * OWN_POLL_FACTOR, LONGEST_POLL_MS),
      ...(limit === undefined ? {} : { messageLimit: Number(limit) }),
    },
    threads: plan.size.threads,
    ...(plan.size.threadHeapMb === undefined ? {} : { threadHeapMb: plan.size.threadHeapMb }),
    logger,
    lane: process.env.SYMPHONY_CHILD_LANE === "1",
  };
}

const code = await runChild(prepare).then(
  () => 0,
  // The supervisor was told, and logs it.
  () => 1,
);
// Connections get a moment; whatever a handler's library keeps open does not keep the process.
const timer = messenger?.runtime.clock.schedule(1_000, () => process.exit(code), { unref: true });
await Promise.all([messenger?.close().catch(() => undefined), flushTelemetry(400)]);
timer?.cancel();
logger.flushSync();
process.exit(code);
