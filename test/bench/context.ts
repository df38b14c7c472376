import type { Server } from "../support/database.ts";
import type { RedisServer } from "./redis-server.ts";

/** What all workloads share, and what the command line has said. */
export interface Context {
  readonly server: Server;
  readonly redis: RedisServer | { readonly unavailable: string };
  /** Short looks instead of figures. */
  readonly quick: boolean;
  /** On the monotonic clock: no round begins that would end after it, except each comparison's first. */
  readonly endsAt: number;
  /** Pairs per comparison, where the command line says so. */
  readonly pairs: number | undefined;
  /** Messages per run, where the command line says so. */
  readonly count: number | undefined;
  /** Contestants that may run; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** A directory for CPU profiles of our runs. */
  readonly prof: string | undefined;
  /** Databases that were filled once, to be copied: by what they hold. */
  readonly templates: Map<string, string>;
  /** Milliseconds for which databases were filled. */
  readonly spent: { fillingMs: number };
  say(line: string): void;
}

/** For whoever measures a single thing. */
export const contextOf = (server: Server): Context => ({
  server,
  redis: { unavailable: "no Redis was started" },
  quick: false,
  endsAt: Number.POSITIVE_INFINITY,
  pairs: undefined,
  count: undefined,
  only: undefined,
  prof: undefined,
  templates: new Map(),
  spent: { fillingMs: 0 },
  say: () => undefined,
});
