import pg from "pg";
import type { Look } from "./contestant.ts";

/** @param from - What follows FROM, as `table WHERE condition`, for each place where something unsettled can be. */
export async function lookInto(connectionString: string, ...from: readonly string[]): Promise<Look> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined);
  await client.connect();
  const any = from.map((each) => `EXISTS (SELECT 1 FROM ${each})`).join(" OR ");
  const count = from.map((each) => `(SELECT count(*) FROM ${each})`).join(" + ");
  await client.query(`PREPARE look AS SELECT ${any} AS left`);
  // Planned here: over two hundred queues that takes longer than looking.
  await client.query("SET plan_cache_mode = force_generic_plan; EXECUTE look");
  return {
    any: async () => (await client.query<{ left: boolean }>("EXECUTE look")).rows[0]?.left !== false,
    count: async () => Number((await client.query<{ n: string }>(`SELECT ${count} AS n`)).rows[0]?.n),
    close: () => client.end(),
  };
}
