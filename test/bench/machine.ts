import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import pg from "pg";
import type { RedisServer } from "./redis-server.ts";

/** What a figure cannot be read without. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
  readonly postgres: string;
  /** Server settings that decide what a commit costs. */
  readonly settings: Readonly<Record<string, string>>;
  /** Its version and settings, or why there is none. */
  readonly redis: string;
  readonly loadAverage: number;
  readonly versions: Readonly<Record<string, string>>;
}

const SETTINGS = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "jit"];

export async function describeMachine(connectionString: string, redis: RedisServer | { readonly unavailable: string }): Promise<Machine> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  const version = await client.query<{ version: string }>("SELECT current_setting('server_version') AS version");
  const settings = await client.query<{ name: string; setting: string }>(
    "SELECT name, current_setting(name) AS setting FROM pg_settings WHERE name = ANY($1) ORDER BY name",
    [SETTINGS],
  );
  await client.end();
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    postgres: version.rows[0]?.version ?? "unknown",
    settings: Object.fromEntries(settings.rows.map(({ name, setting }) => [name, setting])),
    redis: "unavailable" in redis ? `no Redis: ${redis.unavailable}` : `Redis ${redis.version} (${describeSettings(redis.settings)})`,
    loadAverage: Number((loadavg()[0] ?? 0).toFixed(2)),
    versions: Object.fromEntries(
      ["pg-boss", "graphile-worker", "bullmq", "ioredis", "pg", "@symphony/core"].map((name) => [name, versionOf(name)]),
    ),
  };
}

const describeSettings = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} ${value === "" ? '""' : value}`)
    .join(", ");

/** By walking up from the entry point: packages that hide their package.json behind `exports` are many. */
function versionOf(name: string): string {
  let directory = new URL(".", import.meta.resolve(name));
  for (;;) {
    try {
      const found = JSON.parse(readFileSync(new URL("package.json", directory), "utf8")) as { name?: string; version?: string };
      if (found.name === name) return found.version ?? "unknown";
    } catch {
      // Not in this directory.
    }
    const parent = new URL("..", directory);
    if (parent.href === directory.href) return "unknown";
    directory = parent;
  }
}
