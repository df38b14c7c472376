import { flushTelemetry } from "@symphony/core";

/** Milliseconds for spans that are still here when a command is done. */
const FLUSH_MS = 1_000;
/** They run no handlers and send nothing themselves; their worker processes see to it. */
const WITHOUT: ReadonlySet<string> = new Set(["consume", "dev"]);

/** Starts tracing of this command when the `OTEL_*` variables ask for it; otherwise nothing of it is even loaded. */
export async function startTelemetry(
  line: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<{ flush(): Promise<void> }> {
  const isAsked = Object.keys(environment).some((name) => name.startsWith("OTEL_"));
  const command = line.find((word) => !word.startsWith("-"));
  if (!isAsked || command === undefined || WITHOUT.has(command)) return { flush: () => Promise.resolve() };
  await import("@symphony/telemetry/register");
  return { flush: () => flushTelemetry(FLUSH_MS) };
}
