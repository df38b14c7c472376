import { type DeadLetterFilter, MessengerError, matchesQueue } from "@symphony/core";
import { HttpProblem } from "../http/problem.ts";
import type { Principal } from "./tokens.ts";

/** Who asks: without a principal, or with one that has no limit, every queue is theirs. */
interface Asking {
  readonly principal: Principal | undefined;
}

export const isLimited = ({ principal }: Asking): boolean => principal?.queues !== undefined;

/** Whether a queue, and what is in it, exists for the caller. */
export const mayTouch = ({ principal }: Asking, queue: string | null | undefined): boolean =>
  principal?.queues === undefined || (typeof queue === "string" && matchesQueue(principal.queues, queue));

/** @throws {MessengerError} `QUEUE_NOT_FOUND`: what is not the caller's is not there, whether it is or not. */
export function assertQueue(asking: Asking, queue: string): void {
  if (!mayTouch(asking, queue)) throw new MessengerError("QUEUE_NOT_FOUND", `this token knows no queue "${queue}"`, { details: { queue } });
}

/** @throws {HttpProblem} 403 for what is about the whole fleet. */
export function assertUnlimited(asking: Asking): void {
  if (isLimited(asking)) throw new HttpProblem(403, "FORBIDDEN", "the token is limited to some queues, and this is about all of them");
}

/** The caller's part of what a filter selects. */
export function within<F extends DeadLetterFilter>({ principal }: Asking, filter: F): F {
  return principal?.queues === undefined ? filter : { ...filter, queues: principal.queues };
}

/** Whether a filter that somebody used selects nothing but what is the caller's. */
export function isWithin(asking: Asking, { queue, queues }: DeadLetterFilter): boolean {
  const { principal } = asking;
  if (principal?.queues === undefined || (queue !== undefined && mayTouch(asking, queue))) return true;
  const own = principal.queues;
  return queues?.every((pattern) => own.includes(pattern) || (!pattern.includes("*") && matchesQueue(own, pattern))) ?? false;
}
