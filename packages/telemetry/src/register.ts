import { planTelemetry } from "./environment.ts";

// For `node --import @symphony/telemetry/register`: before any other module, in a process as in each of its threads.
const plan = planTelemetry(process.env);
if (plan.traces !== undefined) await (await import("./start-tracing.ts")).startTracing(plan, plan.traces);
