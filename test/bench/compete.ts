import type { Settings } from "./contestant.ts";
import { loadContestant } from "./contestants.ts";
import type { Context } from "./context.ts";
import { median, type Ratio, ratioOf } from "./statistics.ts";

/** Who runs in a workload, and how it is measured once. */
export interface Entry {
  readonly key: string;
  readonly title: string;
  /** Its settings, for people. */
  readonly label: string;
  /** Rounds that it takes part in, at most. Default: all. */
  readonly rounds?: number;
  run(): Promise<Sample>;
}

/** Figures of one run, by name. */
export type Sample = Readonly<Record<string, number>>;

export interface Standing extends Omit<Entry, "run" | "rounds"> {
  readonly samples: readonly (Sample | undefined)[];
  /** Why it has no more samples. */
  readonly failure?: string;
}

/**
 * Runs all entries in turn, as often as there are pairs, and stops before the time is over; each has run at least once by
 * then. One that fails is left out from there on, as is one that takes part in fewer rounds: time goes to those that are compared.
 */
export async function compete(
  context: Context,
  entries: readonly Entry[],
  { pairs, budgetMs }: { readonly pairs: number; readonly budgetMs: number },
): Promise<Standing[]> {
  const standings = entries.map(({ run, rounds = Number.POSITIVE_INFINITY, ...entry }) => ({
    ...entry,
    run,
    rounds,
    samples: [] as (Sample | undefined)[],
    failure: undefined as string | undefined,
  }));
  // What is filled once, in the first round, to be copied for all, is no part of a round.
  const now = (): number => performance.now() - context.spent.fillingMs;
  const from = now();
  let roundMs = 0;
  for (let round = 0; round < (context.pairs ?? (context.quick ? 1 : pairs)); round++) {
    const roundFrom = now();
    if (round > 0 && (roundFrom + roundMs > from + budgetMs || performance.now() + roundMs > context.endsAt)) break;
    // Every other round backwards: nobody always runs on a machine that the same neighbour has just warmed up.
    for (const standing of round % 2 === 0 ? standings : standings.toReversed()) {
      if (standing.failure !== undefined || round >= standing.rounds) continue;
      try {
        standing.samples[round] = await standing.run();
        context.say(`  ${standing.title} (${standing.label}): ${describe(standing.samples[round])}`);
      } catch (error) {
        standing.failure = (error as Error).message;
        context.say(`  ${standing.title} (${standing.label}) is out: ${standing.failure}`);
      }
    }
    roundMs = now() - roundFrom;
  }
  return standings.map(({ run: _run, rounds: _rounds, failure, ...standing }) => ({
    ...standing,
    ...(failure === undefined ? {} : { failure }),
  }));
}

const describe = (sample: Sample | undefined): string =>
  Object.entries(sample ?? {})
    .map(([name, value]) => `${name} ${value >= 100 ? Math.round(value) : value.toFixed(2)}`)
    .join(", ");

/** All figures of that name. */
export const valuesOf = (standing: Standing | undefined, figure: string): number[] =>
  (standing?.samples ?? []).flatMap((sample) => (sample?.[figure] === undefined ? [] : [sample[figure]]));

/** One over the other, within each round; undefined when they never ran in the same one. */
export function ratioBetween(
  one: Standing | undefined,
  other: Standing | undefined,
  figure: string,
  otherFigure = figure,
): Ratio | undefined {
  const pairs = (one?.samples ?? []).flatMap((sample, round) => {
    const [a, b] = [sample?.[figure], other?.samples[round]?.[otherFigure]];
    return a === undefined || b === undefined ? [] : [[a, b] as const];
  });
  return pairs.length === 0 ? undefined : ratioOf(pairs);
}

export interface Choice {
  readonly name: string;
  readonly title: string;
  readonly label: string;
  readonly settings: Settings;
}

/** On a machine whose speed changes, one race says little about settings that are close to each other. */
const RACES = 2;

/** Lets the documented settings of a contestant race each other, twice; the fastest by both races competes. */
export async function choose(
  context: Context,
  name: string,
  rate: (settings: Settings) => Promise<number>,
  fits: (settings: Settings) => boolean = () => true,
): Promise<Choice> {
  const { title, candidates } = await loadContestant(name);
  const running = new Map(
    Object.entries(candidates).flatMap(([label, settings]) => (fits(settings) ? [[label, { settings, sum: 0 }]] : [])),
  );
  for (let race = 0; race < RACES; race++) {
    for (const [label, candidate] of running) {
      try {
        const perSecond = await rate(candidate.settings);
        candidate.sum += perSecond;
        context.say(`  ${title}, ${label}: ${Math.round(perSecond)}/s`);
      } catch (error) {
        context.say(`  ${title}, ${label}, is out: ${(error as Error).message}`);
        running.delete(label);
      }
    }
  }
  const [best] = [...running].sort(([, one], [, other]) => other.sum - one.sum);
  if (best === undefined) throw new Error(`${name} has no candidate that fits and works`);
  const [label, { settings }] = best;
  return { name, title, label, settings };
}

export const medianOf = (standing: Standing | undefined, figure: string): number | undefined => {
  const values = valuesOf(standing, figure);
  return values.length === 0 ? undefined : median(values);
};
