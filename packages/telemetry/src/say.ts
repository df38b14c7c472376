import type { DiagLogger } from "@opentelemetry/api";
import { systemClock } from "@symphony/core";
import { createLogger } from "./logger.ts";

/** Milliseconds between two lines about the same trouble: a collector that is away fails every export. */
const SAY_EVERY_MS = 60_000;

/** What the SDK complains about, as log lines; each kind at most once a minute, so that an outage does not fill the log. */
export function sayToLog(): DiagLogger {
  const logger = createLogger({ destination: 2, pretty: false });
  const said = new Map<string, number>();
  const say =
    (level: "warn" | "error") =>
    (message: string): void => {
      const now = systemClock.monotonic();
      const kind = message.slice(0, 40);
      if (now - (said.get(kind) ?? Number.NEGATIVE_INFINITY) < SAY_EVERY_MS) return;
      said.set(kind, now);
      logger[level]({ telemetry: message.slice(0, 500) }, "telemetry cannot be delivered");
    };
  const nothing = (): void => undefined;
  return { error: say("error"), warn: say("warn"), info: nothing, debug: nothing, verbose: nothing };
}
