import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export interface Block {
  readonly language: string;
  readonly text: string;
}

export const docPath = (name: string): string => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

export const readDoc = (name: string): string => readFileSync(docPath(name), "utf8");

/** What stands between fences, in order. */
export const blocksOf = (text: string): readonly Block[] =>
  [...text.matchAll(/^```(\w+)(?: file=\S+)?\n(.*?)^```/gms)].map(([, language = "", body = ""]) => ({ language, text: body }));

/** Ids of a document, and those that a run has instead of them: learnt from each answer, in order. */
export class Ids {
  readonly #known = new Map<string, string>();

  /** The same command for this run. */
  inThisRun(command: string): string {
    return command.replaceAll(UUID, (id) => this.#known.get(id) ?? id);
  }

  learn(shown: string, given: string): void {
    const actual = given.match(UUID) ?? [];
    for (const [at, id] of (shown.match(UUID) ?? []).entries()) this.#known.set(id, actual[at] ?? id);
  }

  /** The document with the ids of this run. */
  write(text: string): string {
    let written = text;
    for (const [old, id] of this.#known) written = written.replaceAll(old, id);
    return written;
  }
}
