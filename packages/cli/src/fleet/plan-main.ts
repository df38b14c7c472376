import { codeOf, exitCodeOf } from "../exit-codes.ts";
import { messageOf, stackOf } from "../failure.ts";
import { processIo } from "../io.ts";
import { type ConsumeCall, planConsume } from "./plan.ts";
import type { PlanAnswer } from "./request-plan.ts";

const io = processIo();
// Whoever wants to stop, or is gone, does not wait for a plan.
io.releaseSignals();
process.once("disconnect", () => process.exit());
const call = await new Promise<ConsumeCall>((resolve) => process.once("message", (message) => resolve(message as ConsumeCall)));
const answer: PlanAnswer = await planConsume(io, call).then(
  (plan) => ({ plan }),
  (error: unknown) => ({
    failure: { message: messageOf(error), stack: stackOf(error), code: codeOf(error) ?? "INTERNAL", exitCode: exitCodeOf(error) },
  }),
);
process.send?.(answer, undefined, undefined, () => process.exit());
