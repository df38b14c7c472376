import { CommandFailed, EXIT, type ExitCode } from "../exit-codes.ts";
import type { ConsumeCall, FleetPlan } from "./plan.ts";
import { takePlanner } from "./planner.ts";

export type PlanAnswer =
  | { readonly plan: FleetPlan }
  | { readonly failure: { readonly message: string; readonly stack: string; readonly code: string; readonly exitCode: ExitCode } };

/**
 * Has the configuration read in a process of its own, so that user code never runs where the supervisor does.
 *
 * @param signal - Aborts when somebody wants to stop before it has begun.
 * @throws {CommandFailed} with message, code and exit code of what went wrong there.
 */
export async function requestPlan(call: ConsumeCall, signal: AbortSignal): Promise<FleetPlan> {
  signal.throwIfAborted();
  const child = takePlanner();
  const answered = Promise.withResolvers<PlanAnswer>();
  child.once("message", (message) => answered.resolve(message as PlanAnswer));
  child.once("error", answered.reject);
  child.once("exit", (code, how) =>
    answered.reject(new CommandFailed(`the configuration ended its process (${how ?? `exit code ${code}`})`, EXIT.config)),
  );
  signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
  // One that is gone says so by its exit.
  child.send(call, () => undefined);
  // Meanwhile: what the supervisor connects with, nearly always. Whether it can be had is said when it is needed.
  void import("@symphony/transport-pgboss/factory").catch(() => undefined);
  const answer = await answered.promise;
  if ("plan" in answer) return answer.plan;
  const { message, stack, code, exitCode } = answer.failure;
  throw Object.assign(new CommandFailed(message, exitCode, code), { stack });
}
