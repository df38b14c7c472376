import { context } from "@opentelemetry/api";
import { isTracingSuppressed } from "@opentelemetry/core";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http";
import { PgInstrumentation } from "@opentelemetry/instrumentation-pg";
import { PinoInstrumentation } from "@opentelemetry/instrumentation-pino";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import { register, supportsSyncHooks } from "import-in-the-middle/register-hooks.mjs";
import { currentMessage } from "./correlation.ts";
import { LOG_FIELDS } from "./names.ts";

/** Paths that something asks for every few seconds, and that nobody wants to see a trace of. */
const PROBES: ReadonlySet<string> = new Set(["/livez", "/readyz", "/startupz", "/metrics"]);

/**
 * Spans of the queries and requests that a handler makes, under the handler's own, and ids on the lines that it logs with
 * a pino of its own. For modules that are loaded later.
 */
export function instrument(): void {
  // What is imported and not required is only seen with a loader hook.
  if (supportsSyncHooks()) register({ include: ["pg", "pg-pool", "pino", "http", "https", "node:http", "node:https"] });
  registerInstrumentations({
    instrumentations: [
      new HttpInstrumentation({
        ignoreIncomingRequestHook: ({ url }) => PROBES.has(url?.replace(/\?.*/s, "") ?? ""),
        // The exporter's own.
        ignoreOutgoingRequestHook: () => isTracingSuppressed(context.active()),
      }),
      new UndiciInstrumentation({ requireParentforSpans: true }),
      // A worker asks for messages all the time: only what belongs to something is shown.
      new PgInstrumentation({ requireParentSpan: true, ignoreConnectSpans: true }),
      new PinoInstrumentation({
        disableLogSending: true,
        logKeys: { traceId: LOG_FIELDS.traceId, spanId: LOG_FIELDS.spanId, traceFlags: "trace_flags" },
        logHook: (_span, record) => void Object.assign(record, currentMessage()),
      }),
    ],
  });
}
