import pg from "pg";
import type { Target } from "../contestant.ts";
import { open } from "../contestant-ours.ts";
import { queueName } from "../ours-names.ts";
import { payloadOf } from "../payload.ts";

export interface CopyOptions {
  readonly count: number;
  readonly delayMs: number;
  /** Spread evenly over so many, which `count` is a multiple of. Default 1. */
  readonly queues?: number;
}

/** Stores messages numbered from 0: one is dispatched to each queue, and the database makes rows like it, in the order that sending makes. */
export async function copies({ connectionString }: Target, { count, delayMs, queues = 1 }: CopyOptions): Promise<void> {
  const { messenger, Bench } = await open({ dsn: connectionString, execution: "inline", queues });
  await messenger.setUp();
  const firsts: string[] = [];
  for (let k = 0; k < queues; k++)
    firsts.push((await messenger.dispatch(Bench, payloadOf(k) as never, { delayMs, queue: queueName(k) })).messageId);
  await messenger.close();
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const [columns, newId] = [await columnsOf(client), await idFunctionOf(client)];
    const list = columns.map((column) => `"${column}"`).join(", ");
    const values = columns.map((column) => {
      if (column === "id") return newId;
      if (column === "created_on") return "created_on + n * interval '1 microsecond'";
      if (column === "data") return "jsonb_set(data, '{payload,number}', to_jsonb((data #>> '{payload,number}')::int + n * $3::int))";
      return `"${column}"`;
    });
    await client.query(
      `INSERT INTO symphony.job (${list}) SELECT ${values.join(", ")} FROM symphony.job, generate_series(1, $2::int) AS n WHERE id = ANY ($1::uuid[])`,
      [firsts, count / queues - 1, queues],
    );
  } finally {
    await client.end();
  }
}

async function columnsOf(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'symphony.job'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
  );
  return rows.map(({ name }) => name);
}

/** As ours are, where the server can: neighbours in time are neighbours in the index. */
async function idFunctionOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ newer: boolean }>("SELECT current_setting('server_version_num')::int >= 180000 AS newer");
  return rows[0]?.newer === true ? "uuidv7()" : "gen_random_uuid()";
}
