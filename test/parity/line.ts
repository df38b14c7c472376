/** One line of the parity list: what Symfony Messenger has, and what there is here. */
export interface Line {
  /** Section of the list. */
  readonly section: Section;
  /** Symfony's name for it. */
  readonly symfony: string;
  /** What it is here, where that is not said by the name. */
  readonly here: string;
  /** Tests that prove it: `path > name of the test`. */
  readonly proofs: readonly string[];
  /** What of it is not built, or not proven. A line without proofs is open as a whole. */
  readonly open?: string;
}

export const SECTIONS = {
  B1: "Console commands and options",
  B2: "Configuration keys",
  B3: "Declarations",
  B4: "Envelope and stamps",
  B5: "Middleware",
  B6: "Events and listeners",
  B7: "Interfaces, errors, helpers",
  B9: "Scheduler",
} as const;

export type Section = keyof typeof SECTIONS;

/** Makes the lines of one section. */
export const linesOf =
  (section: Section) =>
  (symfony: string, here: string, proofs: readonly string[] = [], open?: string): Line => ({
    section,
    symfony,
    here,
    proofs,
    ...(open === undefined ? {} : { open }),
  });

/** Proofs in one file. */
const inFile =
  (path: string) =>
  (...names: readonly string[]): string[] =>
    names.map((name) => `${path} > ${name}`);

export const contract = (chapter: string, ...names: readonly string[]): string[] =>
  inFile(`packages/core/src/testing/contract/${chapter}.ts`)(...names);
export const core = (file: string, ...names: readonly string[]): string[] => inFile(`packages/core/src/${file}.test.ts`)(...names);
export const cli = (file: string, ...names: readonly string[]): string[] => inFile(`packages/cli/src/${file}.test.ts`)(...names);
export const admin = (file: string, ...names: readonly string[]): string[] => inFile(`packages/admin-api/src/${file}.test.ts`)(...names);
export const pgboss = (file: string, ...names: readonly string[]): string[] =>
  inFile(`packages/transport-pgboss/src/${file}.test.ts`)(...names);
export const runner = (file: string, ...names: readonly string[]): string[] =>
  inFile(`packages/worker-runner/src/${file}.test.ts`)(...names);
export const endToEnd = (file: string, ...names: readonly string[]): string[] => inFile(`test/end-to-end/${file}.test.ts`)(...names);
