import { createLogger, type SymphonyLogger } from "@symphony/telemetry";
import { defineCommand, text, texts, toggle } from "../command.ts";
import { CommandFailed, UsageError } from "../exit-codes.ts";
import { type FleetEvents, openFleetEvents } from "../fleet/fleet-events.ts";
import { requestPlan } from "../fleet/request-plan.ts";
import { runFleet } from "../fleet/run-fleet.ts";
import type { Io } from "../io.ts";
import type { Session } from "../session.ts";
import { type Flags, resolveSettings, type Settings, unknownVariables } from "../settings.ts";
import { handleSignals } from "../signals.ts";

/** The logger of a worker: lines on standard output, JSON unless a person looks at them. */
export function workerLogger(session: Session, json: boolean): SymphonyLogger {
  const level = session.settings.logLevel.value;
  return createLogger({ ...(level === undefined ? {} : { level }), ...(json ? { pretty: false } : {}) });
}

/** The configuration is not read here, and says nothing about these. */
function supervisorSettings(io: Io, flags: Flags & { readonly verbose?: number | undefined }): Settings {
  const v = (flags.verbose ?? 0) > 1 ? "trace" : (flags.verbose ?? 0) > 0 ? "debug" : undefined;
  return resolveSettings({ flags: { ...flags, v }, environment: io.environment, config: {} });
}

/** The same lines as a worker's. */
function supervisorLogger({ logLevel: { value: level } }: Settings, json: boolean): SymphonyLogger {
  return createLogger({ ...(level === undefined ? {} : { level }), ...(json ? { pretty: false } : {}) });
}

export const consume = defineCommand({
  usage: "consume [transports..]",
  describe: "Handle messages, in the foreground, until it is stopped or a limit is met",
  options: {
    queues: texts("Only these queues: a,b takes nothing from one while an earlier one has messages, a=3,b=1 takes by weight"),
    processes: text("Worker processes: a number, or auto for one per CPU (auto)"),
    threads: text("Pool threads per process (what is left of the CPUs)"),
    concurrency: text("Messages at a time (5)"),
    "batch-size": text("Messages per receive at most (10)"),
    "poll-interval": text("Milliseconds between two looks when there is nothing to do (1000)"),
    limit: text("Stop after so many messages"),
    "failure-limit": text("Stop after so many failed attempts"),
    "memory-limit": text("Replace a worker process that takes more MB than this; also 512M, 2G"),
    "memory-percent": text("Replace a worker process that takes more than this share of what the container's limit leaves to it"),
    "recycle-messages": text("Replace a worker process after so many messages"),
    "recycle-time": text("Replace a worker process after so many seconds"),
    "time-limit": text("Stop after so many seconds"),
    "shutdown-timeout": text("Seconds for messages in flight when it stops (30)"),
    bus: text("Handle every message on this bus, whatever bus it was dispatched on"),
    // `--no-reset` alone sets this one to false.
    reset: { type: "boolean", default: true, hidden: true, describe: "Reset services between messages" },
    "no-reset": text("Never reset services between messages; --no-reset=N: only after every N messages (1)"),
    all: toggle("All transports, as without names"),
    exclude: texts("With --all: not this transport; may be repeated"),
    "health-port": text("Port of the probes, 0 for any (8081)"),
  },
  positionals: (yargs) => yargs.positional("transports", { type: "string", array: true, describe: "Only these; default: all" }),
  examples: [
    ["symphony consume", "everything, until SIGTERM"],
    ["symphony consume --queues high,default --concurrency 20", "high first"],
    ["symphony consume --queues high=5,default=1", "high five times as often"],
    ["symphony consume --limit 100 --time-limit 60", "for a timer"],
  ],
  async run(io, flags) {
    const transports = (flags.transports as string[] | undefined) ?? [];
    const exclude = flags.exclude ?? [];
    if (exclude.length > 0 && transports.length === 0 && !flags.all) throw new UsageError("--exclude needs --all");
    // Asked to stop while the command was still being loaded.
    if (io.signal.aborted) return;
    const json = flags.json === true;
    const settings = supervisorSettings(io, flags);
    const logger = supervisorLogger(settings, json);
    for (const warning of unknownVariables(io.environment)) logger.warn({}, warning);
    const signals = handleSignals(logger);
    // Not before: a signal that came while the command was loaded still waits, and is lost when nobody listens for a moment.
    io.releaseSignals();
    let events: FleetEvents | undefined;
    try {
      if (settings.kubernetesEvents.value === true) events = await openFleetEvents(io.environment, io.clock, logger);
      const call = {
        global: { config: flags.config, json: flags.json, verbose: flags.verbose },
        flags: flags.reset === false ? { ...flags, "no-reset": "0" } : flags,
        transports,
        all: flags.all,
        exclude,
      };
      const plan = await requestPlan(call, signals.stopping);
      if (signals.stopping.aborted) return;
      const { reason } = await runFleet({ plan, json, logger, onStarted: (control) => signals.attach(control), events });
      if (reason === "error") throw new CommandFailed("stopped because of an error; see the log");
    } catch (error) {
      // Stopped before it had started: that is what was asked for.
      if (signals.stopping.aborted) return;
      events?.failed(error);
      throw error;
    } finally {
      await events?.close();
      signals.release();
      logger.flushSync();
    }
  },
});
