/** Randomness that a printed seed repeats. */
export interface Random {
  readonly seed: number;
  /** Uniform in [0, 1). */
  next(): number;
  /** A whole number, both ends included. */
  integer(min: number, max: number): number;
  /** @throws {Error} for an empty list. */
  pick<T>(from: readonly T[]): T;
  /** Each element with probability `share`, at least one of them. */
  subset<T>(from: readonly T[], share?: number): T[];
}

/** The mulberry32 generator: 32 bits of state, good enough to decide which process dies next. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const integer = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  const pick = <T>(from: readonly T[]): T => {
    if (from.length === 0) throw new Error("nothing to pick from");
    return from[integer(0, from.length - 1)] as T;
  };
  const subset = <T>(from: readonly T[], share = 0.5): T[] => {
    const chosen = from.filter(() => next() < share);
    return chosen.length > 0 ? chosen : [pick(from)];
  };
  return { seed, next, integer, pick, subset };
}

/** A seed nobody has chosen; print it. */
export const freshSeed = (): number => Math.floor(Math.random() * 0xffff_ffff);
