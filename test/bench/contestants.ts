import type { Contestant } from "./contestant.ts";

const LOADERS: Readonly<Record<string, () => Promise<Contestant>>> = {
  ours: async () => (await import("./contestant-ours.ts")).inline,
  threads: async () => (await import("./contestant-ours.ts")).threads,
  pgboss: async () => (await import("./contestant-pgboss.ts")).pgboss,
  graphile: async () => (await import("./contestant-graphile.ts")).graphile,
  bullmq: async () => (await import("./contestant-bullmq.ts")).bullmq,
  bullmqPostgres: async () => (await import("./contestant-bullmq.ts")).bullmqPostgres,
  raw: async () => (await import("./contestant-raw.ts")).raw,
  rawTake: async () => (await import("./contestant-raw.ts")).rawTake,
};

export const CONTESTANTS: readonly string[] = Object.keys(LOADERS);

/** Loaded when needed: a measured process holds no code of the others. */
export async function loadContestant(name: string): Promise<Contestant> {
  const load = LOADERS[name];
  if (load === undefined) throw new Error(`no contestant "${name}"; there are ${CONTESTANTS.join(", ")}`);
  return load();
}
