import type { Outcome } from "../execute.ts";
import { OTHER } from "./names.ts";

/** A class name; what else an error calls itself may be anything, also something that must not leave the process. */
const ERROR_NAME = /^[A-Za-z_$][\w$]{0,63}$/;

/** The class of an error, fit for a label. */
export function errorTypeOf(error: unknown): string {
  const name = (error as { readonly name?: unknown } | null)?.name;
  return typeof name === "string" && ERROR_NAME.test(name) ? name : OTHER;
}

/** Absent for what is no failure: a snooze, a shutdown. */
export function outcomeErrorType(outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case "failed":
      return errorTypeOf(outcome.failure.error);
    case "timedOut":
      return "HandlerTimeoutError";
    case "interrupted":
    case "snoozed":
    case "handled":
      return undefined;
    case "crashed":
    case "undecodable":
    case "noHandler":
    case "expired":
    case "tooNew":
      return errorTypeOf(outcome.error);
  }
}
