import { Redis } from "ioredis";
import { createDatabase, type Database } from "../support/database.ts";
import type { Contestant, Look, Target } from "./contestant.ts";
import type { Context } from "./context.ts";

export interface Filling {
  /** What the database then holds; the same name is filled once and copied. */
  readonly name: string;
  make(target: Target): Promise<void>;
}

/** Where one run takes place: a database of its own, or the emptied Redis; filled, with known statistics, and looked at. */
export class Stage {
  readonly target: Target;
  readonly look: Look;
  readonly database: Database;

  private constructor(target: Target, look: Look, database: Database) {
    this.target = target;
    this.look = look;
    this.database = database;
  }

  static async open(context: Context, contestant: Contestant, filling: Filling): Promise<Stage> {
    if (contestant.store === "postgres") {
      const template = await templateOf(context, `${contestant.family}: ${filling.name}`, filling);
      const database = await createDatabase(context.server, { template });
      // The same state for everyone: no checkpoint about to begin.
      await database.query("CHECKPOINT");
      const target = { connectionString: database.connectionString };
      return new Stage(target, await contestant.look(target), database);
    }
    if ("unavailable" in context.redis) throw new Error(context.redis.unavailable);
    const database = await createDatabase(context.server);
    const target = { connectionString: database.connectionString, redisUrl: context.redis.url };
    await emptyRedis(context.redis.url);
    await filling.make(target);
    return new Stage(target, await contestant.look(target), database);
  }

  async close(): Promise<void> {
    await this.look.close().catch(() => undefined);
    await this.database.close({ keep: false });
  }
}

async function templateOf(context: Context, name: string, filling: Filling): Promise<string> {
  const known = context.templates.get(name);
  if (known !== undefined) return known;
  const from = performance.now();
  const database = await createDatabase(context.server);
  await filling.make({ connectionString: database.connectionString });
  await database.query("VACUUM ANALYZE");
  // A copy needs that nobody is connected; backends leave a moment after their clients.
  await database.close({ keep: true });
  context.templates.set(name, database.name);
  context.spent.fillingMs += performance.now() - from;
  return database.name;
}

/** Drops what `templateOf` has made, so that the disk holds only what the current workload needs. */
export async function dropTemplates(context: Context): Promise<void> {
  if (context.templates.size === 0) return;
  const database = await createDatabase(context.server);
  for (const name of context.templates.values()) await database.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  context.templates.clear();
  await database.close({ keep: false });
}

async function emptyRedis(url: string): Promise<void> {
  const redis = new Redis(url);
  await redis.flushall();
  // What the last contestant has written is compacted before somebody is measured, not meanwhile.
  await redis.bgrewriteaof();
  redis.disconnect();
}
