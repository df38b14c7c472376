import { type ErrorRecord, toErrorRecord, toShortRecord } from "./error-record.ts";
import { HandlerTimeoutError } from "./errors.ts";
import type { FailureReport, Outcome } from "./execute.ts";
import { fingerprint } from "./fingerprint.ts";
import { LONGEST_DELAY_MS } from "./longest-delay.ts";
import { multiplierRetry } from "./retry/multiplier.ts";
import type { FailedAttempt, RetryStrategy } from "./retry/strategy.ts";
import { type AttemptRecord, NO_TRIES, olderNames, redelivery, suspect, type Tries } from "./stamps.ts";
import type { DeadLetterReason, Failure, Received, RecordPatch } from "./transport.ts";

/** What we do about an outcome: exactly one of four. */
export type Decision =
  | { readonly kind: "acknowledge"; readonly alreadySettled: boolean }
  | { readonly kind: "retry"; readonly delayMs: number; readonly patch: RecordPatch }
  | { readonly kind: "deadLetter"; readonly failure: Failure; readonly patch: RecordPatch }
  | { readonly kind: "release"; readonly patch: RecordPatch; readonly delayMs: number };

/** What deciding needs to know about the message beside the outcome. */
export interface DecisionInput {
  readonly type: string;
  readonly queue: string;
  readonly tries: Tries;
  readonly history: readonly AttemptRecord[];
  readonly handled: readonly string[];
  /** Crashes that it may have caused and that were not charged to anybody. */
  readonly suspect: number;
  readonly strategy: RetryStrategy;
  readonly workerId: string;
  /** Wall clock, milliseconds. */
  readonly now: number;
  readonly random: () => number;
  /** `traceparent` of the attempt, to be remembered with it. */
  readonly trace?: string | undefined;
}

/** Which retry strategy is that of a message. */
export type StrategyLookup = (type: string, queue: string, olderNames?: readonly string[]) => RetryStrategy;

/** What the message itself tells of its past, completed by what its worker knows. */
export function toDecisionInput(
  received: Received,
  rest: Pick<DecisionInput, "workerId" | "now" | "random" | "trace"> & { readonly strategyFor: StrategyLookup },
): DecisionInput {
  const past = received.envelope?.last(redelivery);
  const type = received.envelope?.message.type ?? "";
  return {
    type,
    queue: received.queue,
    tries: past?.tries ?? NO_TRIES,
    history: past?.history ?? [],
    handled: past?.handled ?? [],
    suspect: received.envelope?.last(suspect)?.crashes ?? 0,
    strategy: rest.strategyFor(type, received.queue, received.envelope?.last(olderNames)?.names),
    workerId: rest.workerId,
    now: rest.now,
    random: rest.random,
    trace: rest.trace,
  };
}

/** Crashes of thread or process that one message may cause before it is given up on (design, section 2). */
export const MAX_CRASHES = 3;
const HISTORY_KEPT = 10;
/** How long a message of a newer version rests before another worker sees it: long enough not to spin, short enough for a rollout. */
const TOO_NEW_DELAY_MS = 5_000;
/** What decides when a strategy of the application throws: its mistake must not lose the message or stop the worker. */
const FALLBACK_STRATEGY = multiplierRetry();

/** Pure. Which end an attempt comes to; every outcome has exactly one. */
export function decide(outcome: Outcome, input: DecisionInput): Decision {
  switch (outcome.kind) {
    case "handled":
      return acknowledged(outcome);
    case "failed":
      return afterFailure(outcome.failure, outcome.handled, "retries_exhausted", input);
    case "timedOut":
      return afterFailure({ error: toErrorRecord(new HandlerTimeoutError(outcome.timeoutMs)) }, outcome.handled, "timed_out", input);
    case "snoozed":
      return { kind: "release", delayMs: toDelay(outcome.delayMs) ?? 0, patch: cleared(input) };
    case "interrupted":
      return { kind: "release", delayMs: 0, patch: { tries: raise(input.tries, "interruptions") } };
    case "tooNew":
      return { kind: "release", delayMs: TOO_NEW_DELAY_MS, patch: {} };
    case "crashed":
      return afterCrash(outcome.error, outcome.guilty, input);
    case "undecodable":
      return deadLetter("undecodable", outcome.error, input.tries, input);
    case "expired":
      return deadLetter("expired", outcome.error, input.tries, input);
    case "noHandler":
      return deadLetter("no_handler", outcome.error, input.tries, input);
  }
}

const [ACKNOWLEDGE, SETTLED] = [false, true].map((alreadySettled) => ({ kind: "acknowledge", alreadySettled }) as const) as [
  Decision,
  Decision,
];

/** The decision about a message that was handled: it needs to know nothing else. */
export const acknowledged = (outcome: Extract<Outcome, { kind: "handled" }>): Decision =>
  outcome.settled === true ? SETTLED : ACKNOWLEDGE;

function afterFailure(
  report: FailureReport,
  handled: readonly string[] | undefined,
  exhausted: DeadLetterReason,
  input: DecisionInput,
): Decision {
  const tries = raise(input.tries, "failures");
  const patch = {
    tries,
    ...remember(report.error, tries, input),
    ...cleared(input),
    ...(handled === undefined || handled.length === 0 ? {} : { handled: [...new Set([...input.handled, ...handled])] }),
  };
  const give = (reason: DeadLetterReason): Decision => ({
    kind: "deadLetter",
    failure: toFailure(reason, report.error, tries, input),
    patch,
  });
  if (report.unrecoverable === true) return give("unrecoverable");
  const failed = { attempt: tries.failures, type: input.type, queue: input.queue, error: report.error };
  if (report.recoverable !== true && !isRetryable(failed, input)) return give(exhausted);
  return { kind: "retry", delayMs: toDelay(report.retryDelayMs) ?? retryDelay(failed, input), patch };
}

function afterCrash(error: ErrorRecord, guilty: boolean, input: DecisionInput): Decision {
  // Written down, so that whoever gets it next knows: the one that is guilty must not take new neighbours with it.
  if (!guilty) return { kind: "release", delayMs: 0, patch: { tries: raise(input.tries, "interruptions"), suspect: input.suspect + 1 } };
  // Proven now: the crashes for which it was only suspected are its own as well.
  const tries = { ...raise(input.tries, "crashes"), crashes: input.tries.crashes + input.suspect + 1 };
  const patch = { tries, ...remember(error, tries, input), ...cleared(input) };
  if (tries.crashes >= MAX_CRASHES) return { kind: "deadLetter", failure: toFailure("crashed", error, tries, input), patch };
  const failed = { attempt: tries.crashes, type: input.type, queue: input.queue, error };
  return { kind: "retry", delayMs: retryDelay(failed, input), patch };
}

function isRetryable(failed: FailedAttempt, { strategy }: DecisionInput): boolean {
  try {
    return strategy.isRetryable(failed);
  } catch {
    // Nobody to tell: deciding is pure. The message's own failure is what the history shows.
    return FALLBACK_STRATEGY.isRetryable(failed);
  }
}

function retryDelay(failed: FailedAttempt, { strategy, random }: DecisionInput): number {
  try {
    return toDelay(strategy.getDelayMs(failed, random)) ?? FALLBACK_STRATEGY.getDelayMs(failed, random);
  } catch {
    return FALLBACK_STRATEGY.getDelayMs(failed, random);
  }
}

/** Milliseconds that a transport can carry out; undefined for what is no delay. Comes from the application, in any shape. */
function toDelay(delayMs: unknown): number | undefined {
  if (typeof delayMs !== "number" || !(delayMs >= 0)) return undefined;
  return Math.min(delayMs, LONGEST_DELAY_MS);
}

function deadLetter(reason: DeadLetterReason, error: ErrorRecord, tries: Tries, input: DecisionInput): Decision {
  return { kind: "deadLetter", failure: toFailure(reason, error, tries, input), patch: {} };
}

function toFailure(reason: DeadLetterReason, error: ErrorRecord, tries: Tries, input: DecisionInput): Failure {
  return { reason, error, fingerprint: fingerprint(input.type, error), attempts: tries.failures + tries.crashes, workerId: input.workerId };
}

function remember(error: ErrorRecord, tries: Tries, input: DecisionInput): { history: readonly AttemptRecord[] } {
  const entry: AttemptRecord = {
    attempt: tries.failures + tries.crashes,
    at: new Date(input.now).toISOString(),
    workerId: input.workerId,
    error: toShortRecord(error),
    ...(input.trace === undefined ? {} : { trace: input.trace }),
  };
  return { history: [...input.history, entry].slice(-HISTORY_KEPT) };
}

/** It came to an end of its own, so that it is no suspect any more. */
const cleared = (input: DecisionInput): RecordPatch => (input.suspect > 0 ? { suspect: 0 } : {});

const raise = (tries: Tries, counter: keyof Tries): Tries => ({ ...NO_TRIES, ...tries, [counter]: tries[counter] + 1 });
