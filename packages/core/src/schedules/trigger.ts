import type { TimeZone } from "./time-zone.ts";

/**
 * When something is due. Pure: every process that asks gets the same answer, whatever its own clock says.
 *
 * Triggers can be built on each other: take the due times of one and leave some out, or move them.
 */
export interface Trigger {
  /** The first due time after `after`, never `after` itself; null: never again. */
  next(after: Date): Date | null;
  /** For lists: `cron 0 3 * * * (Europe/Berlin)`. Another text is another schedule: the next due time is reckoned anew. */
  readonly text: string;
  /** The same for people: `at 03:00 every day (Europe/Berlin)`. Default: the text. */
  readonly words?: string;
}

const wordsOf = ({ words, text }: Trigger): string => words ?? text;

/** Due times that are left out one after the other before a trigger counts as exhausted. */
const MOST_SKIPPED = 100_000;

/** Those due times of a trigger that `isExcluded` does not name. */
export function excluding(trigger: Trigger, isExcluded: (at: Date) => boolean, text: string): Trigger {
  return {
    next(after) {
      let at = trigger.next(after);
      for (let skipped = 0; at !== null && isExcluded(at); skipped++) {
        if (skipped >= MOST_SKIPPED) return null;
        at = trigger.next(at);
      }
      return at;
    },
    text: `${trigger.text} ${text}`,
    words: `${wordsOf(trigger)} ${text}`,
  };
}

/** Those due times of a trigger that are not before `from` and before `until`. */
export function within(trigger: Trigger, from: Date | undefined, until: Date | undefined): Trigger {
  if (from === undefined && until === undefined) return trigger;
  const bounds = [
    ...(from === undefined ? [] : [`from ${from.toISOString()}`]),
    ...(until === undefined ? [] : [`until ${until.toISOString()}`]),
  ];
  return {
    next(after) {
      const start = from === undefined ? after : new Date(Math.max(after.getTime(), from.getTime() - 1));
      const at = trigger.next(start);
      return at === null || (until !== undefined && at >= until) ? null : at;
    },
    text: `${trigger.text} ${bounds.join(" ")}`,
    words: `${wordsOf(trigger)} ${bounds.join(" ")}`,
  };
}

/** Whether a moment lies on one of these days, by the calendar of a zone. */
export function onDays(days: readonly string[], zone: TimeZone): (at: Date) => boolean {
  const named = new Set(days);
  return (at) => named.has(zone.dateAt(at.getTime()));
}
