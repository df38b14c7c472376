import type { Fault, JournalEntry, RunEntry } from "./journal.ts";

/** One accepted end of one delivery, as the trigger on the job tables saw it. See `audit.ts`. */
export interface Settlement {
  readonly id: string;
  readonly fence: number;
  /** `acknowledged` and `dead` end the message, `returned` gives it to the next delivery. */
  readonly kind: "acknowledged" | "dead" | "returned";
  readonly at: number;
}

export interface CheckInput {
  readonly entries: readonly JournalEntry[];
  readonly settlements?: readonly Settlement[];
  /** Values that ended as dead letters. */
  readonly deadLettered?: Iterable<string>;
  /**
   * Milliseconds from the end of a handler within which its acknowledgement is under way, so that a fault may still undo
   * it. Default 1000.
   */
  readonly settleWithinMs?: number;
}

/** A handler run that should not have been needed. */
export interface Duplicate {
  readonly value: string;
  readonly first: Run;
  readonly again: Run;
  /** Name of the fault that explains it. */
  readonly because: string | undefined;
  readonly overlapping: boolean;
}

export interface Run {
  readonly value: string;
  readonly id: string;
  readonly attempt: number;
  readonly pid: number;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly threw: boolean;
}

export interface Verdict {
  readonly invoked: number;
  readonly accepted: number;
  readonly unknown: number;
  readonly refused: number;
  readonly handled: number;
  readonly deadLettered: number;
  /** Accepted and never seen again; by place in their writer's sequence. `middle` is the worst, `postfix` may be an impatient drain. */
  readonly lost: {
    readonly total: number;
    readonly prefix: number;
    readonly middle: number;
    readonly postfix: number;
    readonly values: readonly string[];
  };
  /** Handled, but never dispatched, or surely refused. */
  readonly unexpected: readonly string[];
  /** Handled although the dispatch could not tell. */
  readonly recovered: number;
  readonly duplicates: readonly Duplicate[];
  /** Explained duplicates by the name of their fault. */
  readonly explained: Readonly<Record<string, number>>;
  /** Unexplained, or overlapping under a fault that does not excuse that. */
  readonly unexplained: readonly Duplicate[];
  /** Values whose attempt number fell from one run to the next. */
  readonly fallingAttempts: readonly string[];
  readonly doubleSettled: readonly Settlement[];
  /** The list of what is wrong, for people; empty when all promises were kept. */
  readonly violations: readonly string[];
}

const SHOWN = 10;

/** Judges a run by what was promised. Pure: the same journal gives the same verdict. */
export function check(input: CheckInput): Verdict {
  const dispatches = readDispatches(input.entries);
  const runs = readRuns(input.entries);
  const faults = input.entries.flatMap((entry) => (entry.kind === "fault" ? [entry.fault] : []));
  const dead = new Set(input.deadLettered ?? []);
  const handled = new Set([...runs].filter(([, of]) => of.some((run) => run.endedAt !== undefined && !run.threw)).map(([value]) => value));
  const lost = findLost(dispatches, (value) => handled.has(value) || dead.has(value));
  const unexpected = [...runs.keys()].filter((value) => !dispatches.invoked.has(value) || dispatches.refused.has(value));
  const duplicates = [...runs.values()].flatMap((of) => findDuplicates(of, faults, input.settleWithinMs ?? 1_000));
  const fallingAttempts = [...runs]
    .filter(([, of]) => of.some((run, i) => run.attempt < (of[i - 1]?.attempt ?? 0)))
    .map(([value]) => value);
  const doubleSettled = findDoubleSettled(input.settlements ?? []);
  const explained: Record<string, number> = {};
  for (const { because } of duplicates) if (because !== undefined) explained[because] = (explained[because] ?? 0) + 1;
  const unexplained = duplicates.filter(({ because }) => because === undefined);
  const facts = {
    invoked: dispatches.invoked.size,
    accepted: dispatches.ok.size,
    unknown: dispatches.unknown.size,
    refused: dispatches.refused.size,
    handled: handled.size,
    deadLettered: dead.size,
    lost,
    unexpected,
    recovered: [...dispatches.unknown].filter((value) => handled.has(value)).length,
    duplicates,
    explained,
    unexplained,
    fallingAttempts,
    doubleSettled,
  };
  return { ...facts, violations: listViolations(facts) };
}

interface Dispatches {
  /** In order of invocation. */
  readonly invoked: ReadonlySet<string>;
  readonly ok: ReadonlySet<string>;
  readonly unknown: ReadonlySet<string>;
  readonly refused: ReadonlySet<string>;
}

function readDispatches(entries: readonly JournalEntry[]): Dispatches {
  const sets = { invoke: new Set<string>(), ok: new Set<string>(), unknown: new Set<string>(), refused: new Set<string>() };
  for (const entry of entries) if (entry.kind in sets && "value" in entry) sets[entry.kind as keyof typeof sets].add(entry.value);
  // A retry with the same idempotency key: one answer that is sure settles the doubt of the others.
  for (const value of sets.ok) {
    sets.unknown.delete(value);
    sets.refused.delete(value);
  }
  for (const value of sets.unknown) sets.refused.delete(value);
  return { invoked: sets.invoke, ok: sets.ok, unknown: sets.unknown, refused: sets.refused };
}

/** Runs per value, in order of their start. */
function readRuns(entries: readonly JournalEntry[]): Map<string, Run[]> {
  const open = new Map<string, { start: RunEntry; end?: RunEntry }[]>();
  for (const entry of entries) {
    if (entry.kind !== "start" && entry.kind !== "end" && entry.kind !== "threw") continue;
    const of = open.get(entry.value) ?? [];
    open.set(entry.value, of);
    if (entry.kind === "start") {
      of.push({ start: entry });
      continue;
    }
    const started = of.findLast(({ start, end }) => end === undefined && start.pid === entry.pid && start.thread === entry.thread);
    if (started !== undefined) started.end = entry;
  }
  const toRun = ({ start, end }: { start: RunEntry; end?: RunEntry }): Run => ({
    value: start.value,
    id: start.id,
    attempt: start.attempt,
    pid: start.pid,
    startedAt: start.at,
    endedAt: end?.at,
    threw: end?.kind === "threw",
  });
  return new Map([...open].map(([value, of]) => [value, of.map(toRun).sort((a, b) => a.startedAt - b.startedAt)]));
}

function findLost(dispatches: Dispatches, isDone: (value: string) => boolean): Verdict["lost"] {
  const byWriter = new Map<string, string[]>();
  for (const value of dispatches.invoked) {
    if (!dispatches.ok.has(value)) continue;
    const writer = value.slice(0, value.lastIndexOf("-"));
    const of = byWriter.get(writer);
    if (of === undefined) byWriter.set(writer, [value]);
    else of.push(value);
  }
  const values: string[] = [];
  const counts = { prefix: 0, middle: 0, postfix: 0 };
  for (const accepted of byWriter.values()) {
    const first = accepted.findIndex(isDone);
    const last = accepted.findLastIndex(isDone);
    for (const [index, value] of accepted.entries()) {
      if (isDone(value)) continue;
      values.push(value);
      counts[first < 0 || index > last ? "postfix" : index < first ? "prefix" : "middle"] += 1;
    }
  }
  return { total: values.length, ...counts, values: values.slice(0, SHOWN) };
}

function findDuplicates(runs: readonly Run[], faults: readonly Fault[], settleWithinMs: number): Duplicate[] {
  return runs.slice(1).flatMap((again, index) => {
    const first = runs[index] as Run;
    // The retry of a failure is what was asked for.
    if (first.threw) return [];
    const overlapping = first.endedAt !== undefined && again.startedAt < first.endedAt;
    const fault = faults.find((one) => explains(one, first, again, settleWithinMs) && (!overlapping || one.overlap === true));
    return [{ value: again.value, first, again, because: fault?.name, overlapping }];
  });
}

/**
 * A fault explains a second run if it hit the first one's process between its start and the end of its settlement; or if
 * it made the second one's process stand still with a message that others have run meanwhile.
 */
function explains(fault: Fault, first: Run, again: Run, settleWithinMs: number): boolean {
  if (isLateStart(fault, again, settleWithinMs)) return true;
  if (fault.pids !== undefined && !fault.pids.includes(first.pid)) return false;
  if (fault.from > again.startedAt) return false;
  const until = fault.until ?? Number.POSITIVE_INFINITY;
  const vulnerableUntil = first.endedAt === undefined ? again.startedAt : first.endedAt + settleWithinMs;
  return fault.from <= vulnerableUntil && until + settleWithinMs >= first.startedAt;
}

const isLateStart = (fault: Fault, { pid, startedAt }: Run, settleWithinMs: number): boolean =>
  fault.overlap === true &&
  fault.pids?.includes(pid) === true &&
  fault.from <= startedAt &&
  startedAt <= (fault.until ?? Number.POSITIVE_INFINITY) + settleWithinMs;

/** Two accepted ends of one delivery, or two final ends of one message. */
function findDoubleSettled(settlements: readonly Settlement[]): Settlement[] {
  const deliveries = new Set<string>();
  const ended = new Set<string>();
  return settlements.filter(({ id, fence, kind }) => {
    const delivery = `${id}/${fence}`;
    const twice = deliveries.has(delivery) || (kind !== "returned" && ended.has(id));
    deliveries.add(delivery);
    if (kind !== "returned") ended.add(id);
    return twice;
  });
}

const span = ({ id, attempt, pid, startedAt, endedAt }: Run): string =>
  `${id} attempt ${attempt} in ${pid} from ${new Date(startedAt).toISOString()} to ${endedAt === undefined ? "its loss" : new Date(endedAt).toISOString()}`;

const tell = ({ value, first, again, overlapping }: Duplicate): string =>
  `${value} (${span(first)}, ${overlapping ? "and meanwhile" : "then"} ${span(again)})`;

function listViolations(facts: Omit<Verdict, "violations">): string[] {
  const { lost, unexpected, unexplained, fallingAttempts, doubleSettled } = facts;
  const some = (values: readonly string[]): string => values.slice(0, SHOWN).join(", ");
  const violations: string[] = [];
  if (lost.total > 0)
    violations.push(`${lost.total} lost (prefix ${lost.prefix}, middle ${lost.middle}, postfix ${lost.postfix}): ${some(lost.values)}`);
  if (unexpected.length > 0) violations.push(`${unexpected.length} handled and never sent: ${some(unexpected)}`);
  if (unexplained.length > 0)
    violations.push(`${unexplained.length} repeated without a fault that explains it: ${some(unexplained.map(tell))}`);
  if (fallingAttempts.length > 0) violations.push(`${fallingAttempts.length} with a falling attempt number: ${some(fallingAttempts)}`);
  if (doubleSettled.length > 0)
    violations.push(`${doubleSettled.length} settled twice: ${some(doubleSettled.map(({ id, fence }) => `${id}/${fence}`))}`);
  return violations;
}
