import { OptionsError } from "./errors.ts";
import { NAME_PATTERN } from "./message.ts";
import { integer, listOf, type OptionParser, record, string } from "./options.ts";

/**
 * The queues that a worker receives from. A list: its order is precedence, nothing is taken from a queue while an earlier
 * one has messages. An object of weights, 1 to 1000: of the queues that have messages, each is taken from in proportion
 * to its weight, so that none is starved.
 */
export type QueueSelection = readonly string[] | Readonly<Record<string, number>>;

const isList = (selection: QueueSelection): selection is readonly string[] => Array.isArray(selection);

export const queueNames = (selection: QueueSelection): readonly string[] => (isList(selection) ? selection : Object.keys(selection));

const listParser = listOf(string({ pattern: NAME_PATTERN }));
const weightsParser = record(integer({ min: 1, max: 1_000 }));

export const queueSelection: OptionParser<QueueSelection> = {
  parse(value, path) {
    if (Array.isArray(value) || typeof value !== "object" || value === null) return listParser.parse(value, path);
    listParser.parse(Object.keys(value), path);
    return weightsParser.parse(value, path);
  },
};

/**
 * Reads `a,b` as a list and `a=3,b=1` as weights.
 *
 * @throws {OptionsError} for an empty text, names that are none, and weights for some queues only.
 */
export function parseQueueSelection(text: string, path: string): QueueSelection {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  if (parts.length === 0) throw new OptionsError(path, text, "must name at least one queue");
  const pairs = parts.map((part) => part.split("="));
  if (pairs.every((pair) => pair.length === 1)) return queueSelection.parse([...new Set(parts)], path);
  if (!pairs.every((pair) => pair.length === 2))
    throw new OptionsError(path, text, "must give a weight to all queues (a=3,b=1) or to none");
  return queueSelection.parse(Object.fromEntries(pairs.map(([name = "", weight = ""]) => [name.trim(), weight.trim()])), path);
}

/** Each order is a statement of its own, which every connection keeps prepared: no more than all orders of four queues need. */
const MAX_ORDERS = 32;

/** In which order the next receive looks at the queues; by chance, when they have weights. */
export class QueueOrder {
  readonly #names: readonly string[] | undefined;
  readonly #weights: Readonly<Record<string, number>> | undefined;
  readonly #random: () => number;
  readonly #known = new Map<string, readonly string[]>();

  constructor(selection: QueueSelection | undefined, random: () => number) {
    this.#names = selection === undefined ? undefined : queueNames(selection);
    this.#weights = selection === undefined || isList(selection) ? undefined : selection;
    this.#random = random;
  }

  /** For metrics: a receive from several queues belongs to none of them. */
  get only(): string | undefined {
    return this.#names?.length === 1 ? this.#names[0] : undefined;
  }

  /** Undefined: all queues that there are. */
  next(): readonly string[] | undefined {
    if (this.#names === undefined || this.#weights === undefined || this.#names.length < 2) return this.#names;
    const drawn = this.#draw(this.#names, this.#weights);
    const key = drawn.join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    // With five queues and more not every order is used; which queue comes first is by its weight all the same.
    const alike = this.#known.size < MAX_ORDERS ? [] : [...this.#known.values()].filter(([first]) => first === drawn[0]);
    const order = alike[Math.floor(this.#random() * alike.length)] ?? drawn;
    this.#known.set(order.join(), order);
    return order;
  }

  /** Draws one after the other in proportion to the weights: so whichever queues turn out to be empty, the rest keeps its proportions. */
  #draw(names: readonly string[], weights: Readonly<Record<string, number>>): readonly string[] {
    // An exponential clock for each queue, as fast as its weight: they ring in the order of such a draw.
    const rings = names.map((name) => ({ name, at: -Math.log(1 - this.#random()) / (weights[name] ?? 1) }));
    return rings.sort((a, b) => a.at - b.at).map(({ name }) => name);
  }
}
