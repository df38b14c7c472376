import type { Random } from "./random.ts";

/** A trouble that can be made and undone. */
export interface Trouble {
  readonly name: string;
  /** Makes it; resolves with what undoes it. */
  inject(random: Random): Promise<() => Promise<void> | void>;
}

export interface Period {
  /** Empty: a quiet one. */
  readonly troubles: readonly string[];
}

export interface NemesisOptions {
  readonly random: Random;
  readonly troubles: readonly Trouble[];
  readonly periods: number;
  /** Waits for one period's length. */
  readonly wait: () => Promise<void>;
  /** Called with each period before it begins, for a log that can be read beside the journal. */
  readonly onPeriod?: (period: Period) => void;
}

/** Share of periods in which nothing is done: a system must also recover when it is let alone. */
const QUIET_SHARE = 0.25;

/**
 * Makes random trouble, period by period: a non-empty subset each, or none. At the end of a period everything is undone,
 * also when something failed, so that the periods do not add up to an outage.
 */
export async function runNemesis({ random, troubles, periods, wait, onPeriod }: NemesisOptions): Promise<readonly Period[]> {
  const history: Period[] = [];
  for (let i = 0; i < periods; i++) {
    const chosen = random.next() < QUIET_SHARE ? [] : random.subset(troubles, 1 / troubles.length);
    const period = { troubles: chosen.map(({ name }) => name) };
    history.push(period);
    onPeriod?.(period);
    const undo: (() => Promise<void> | void)[] = [];
    try {
      for (const trouble of chosen) undo.push(await trouble.inject(random));
      await wait();
    } finally {
      for (const heal of undo.toReversed()) await heal();
    }
  }
  return history;
}
