import { medianOf, ratioBetween, type Standing } from "./compete.ts";
import type { Context } from "./context.ts";
import type { Ratio } from "./statistics.ts";

export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Seconds that it takes at most, apart from a last round; the sum of all is what a whole run takes. */
  readonly seconds: number;
  run(context: Context): Promise<readonly Section[]>;
}

/** One table of the report, and one plot. */
export interface Section {
  readonly id: string;
  readonly title: string;
  /** What was done, in a sentence or two. */
  readonly about: string;
  /** The figure that is plotted. */
  readonly figure: string;
  /** Names and units of the figures, in the order of the columns. */
  readonly figures: Readonly<Record<string, string>>;
  readonly standings: readonly Standing[];
  readonly goals: readonly Goal[];
  /** What is not a comparison. */
  readonly tables?: readonly Table[];
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A ratio, or a plain figure, with the bound that it is held against. */
export interface Goal {
  readonly text: string;
  readonly bound: number;
  readonly sense: ">=" | "<=";
  readonly seen: Ratio | undefined;
  readonly unit?: string;
}

export const isMet = ({ seen, bound, sense }: Goal): boolean | undefined =>
  seen === undefined ? undefined : sense === ">=" ? seen.median >= bound : seen.median <= bound;

interface Of {
  readonly figure?: string;
  readonly sense?: ">=" | "<=";
  readonly other?: string;
}

/** The first over the second in each round, `figure` "perSecond" unless said otherwise. */
export function goal(
  text: string,
  standings: readonly Standing[],
  [one, other]: readonly [string, string],
  bound: number,
  { figure = "perSecond", sense = ">=", other: otherFigure = figure }: Of = {},
): Goal {
  const find = (key: string) => standings.find((standing) => standing.key === key);
  return { text, bound, sense, seen: ratioBetween(find(one), find(other), figure, otherFigure) };
}

/** A figure itself against a bound. */
export function limit(text: string, standing: Standing | undefined, figure: string, bound: number, unit: string): Goal {
  const values = (standing?.samples ?? []).flatMap((sample) => (sample?.[figure] === undefined ? [] : [sample[figure]]));
  const median = medianOf(standing, figure);
  const seen = median === undefined ? undefined : { median, min: Math.min(...values), max: Math.max(...values), pairs: values.length };
  return { text, bound, sense: "<=", seen, unit };
}
