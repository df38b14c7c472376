import type { RunFigures } from "./database.ts";

/** A message of this run that was given up on, as far as the accounts go. */
export interface DeadLetterEntry {
  readonly id: string;
  readonly type: string;
  readonly reason: string;
  readonly error: string;
}

/**
 * Everything that was counted, each figure where it arises: by the receiver (what it accepted), by the tables (what was
 * committed), by the subscribers (what reached them), by the transport (what it holds). None is computed from another.
 */
export interface Evidence {
  /** Payloads in the package. */
  readonly payloads: number;
  readonly forged: number;
  readonly redelivered: number;
  /** Ids of the messages that the receiver made. */
  readonly accepted: ReadonlySet<string>;
  /** Answers that said "known already". */
  readonly duplicates: number;
  readonly tables: RunFigures;
  /** Ids that the subscribers took. */
  readonly delivered: ReadonlySet<string>;
  readonly repeatedDeliveries: number;
  /** In the dead-letter queues at the end. */
  readonly deadLetters: readonly DeadLetterEntry[];
  /** Dead-lettered during the run and sent back. */
  readonly redriven: ReadonlySet<string>;
  /** Not settled yet: ready, scheduled or in flight. */
  readonly unsettled: number;
  /** Messages that the transport says were handled; null when a worker was lost, which takes a second's count along. */
  readonly countedByTransport: number | null;
}

export interface TypeAccount {
  readonly type: string;
  readonly dispatched: number;
  readonly handled: number;
  /** Of those dead-lettered in the end. */
  readonly deadLettered: number;
  /** Of the handled ones: those that had been dead letters. */
  readonly afterRedrive: number;
}

export interface Check {
  readonly claim: string;
  readonly left: number;
  readonly right: number;
  readonly holds: boolean;
}

export interface Accounts {
  readonly types: readonly TypeAccount[];
  readonly total: TypeAccount;
  readonly checks: readonly Check[];
  readonly addUp: boolean;
}

/** Pure. Sets what came in against what came out. */
export function settleAccounts(evidence: Evidence): Accounts {
  const { tables, deadLetters } = evidence;
  const dead = (type: string): number => deadLetters.filter((letter) => letter.type === type).length;
  const types: TypeAccount[] = [
    {
      type: "github.delivery",
      dispatched: evidence.accepted.size,
      handled: tables.activities,
      deadLettered: dead("github.delivery"),
      afterRedrive: 0,
    },
    {
      type: "repository.summarise",
      dispatched: tables.summariesDispatched,
      handled: tables.summariesHandled,
      deadLettered: dead("repository.summarise"),
      afterRedrive: 0,
    },
    {
      type: "subscriber.deliver",
      dispatched: tables.outgoingDispatched,
      handled: evidence.delivered.size,
      deadLettered: dead("subscriber.deliver"),
      afterRedrive: [...evidence.redriven].filter((id) => evidence.delivered.has(id)).length,
    },
  ];
  const total = types.reduce((sum, one) => ({
    type: "total",
    dispatched: sum.dispatched + one.dispatched,
    handled: sum.handled + one.handled,
    deadLettered: sum.deadLettered + one.deadLettered,
    afterRedrive: sum.afterRedrive + one.afterRedrive,
  }));
  const checks = checksOf(evidence, types, total);
  return { types, total, checks, addUp: checks.every((check) => check.holds) };
}

function checksOf(evidence: Evidence, types: readonly TypeAccount[], total: TypeAccount): Check[] {
  const { tables, deadLetters } = evidence;
  const check = (claim: string, left: number, right: number): Check => ({ claim, left, right, holds: left === right });
  const unforged = deadLetters.filter((letter) => letter.type !== "github.delivery" || letter.reason !== "unrecoverable");
  return [
    check("payloads and forgeries posted = messages accepted", evidence.payloads + evidence.forged, evidence.accepted.size),
    check("webhooks sent twice = answered as duplicates", evidence.redelivered, evidence.duplicates),
    ...types.map((one) => check(`${one.type}: handled + dead-lettered = dispatched`, one.handled + one.deadLettered, one.dispatched)),
    check("total: handled + dead-lettered = dispatched", total.handled + total.deadLettered, total.dispatched),
    check("rows in the activity table = payloads of the package", tables.activities, evidence.payloads),
    check("dead letters that stay = forged signatures", deadLetters.length - unforged.length, evidence.forged),
    check("dead letters for any other reason = none", unforged.length, 0),
    check("dead letters sent back = handled afterwards", evidence.redriven.size, total.afterRedrive),
    check("events in the repository summaries = activities of repositories", tables.eventsInSummaries, tables.activitiesWithRepository),
    check("messages still waiting or in flight = none", evidence.unsettled, 0),
    ...(evidence.countedByTransport === null
      ? []
      : [check("handled by the transport's own counters = handled", evidence.countedByTransport, total.handled)]),
  ];
}
