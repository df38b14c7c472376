import pg from "pg";
import type { Look } from "./contestant.ts";

/** @param from - What follows FROM, as `table WHERE condition`, for each place where something unsettled can be. */
export async function lookInto(connectionString: string, ...from: readonly string[]): Promise<Look> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined);
  await client.connect();
  const any = from.map((each) => `EXISTS (SELECT 1 FROM ${each})`).join(" OR ");
  const count = from.map((each) => `(SELECT count(*) FROM ${each})`).join(" + ");
  return {
    any: async () => (await client.query<{ left: boolean }>(`SELECT ${any} AS left`)).rows[0]?.left !== false,
    count: async () => Number((await client.query<{ n: string }>(`SELECT ${count} AS n`)).rows[0]?.n),
    close: () => client.end(),
  };
}
