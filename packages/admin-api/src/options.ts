import {
  boolean,
  integer,
  type Logger,
  listOf,
  type Messenger,
  object,
  oneOf,
  optional,
  parseOptions,
  QUEUE_PATTERN,
  type Runtime,
  record,
  silentLogger,
  string,
  systemRuntime,
} from "@symphony/core";
import { type AuthOptions, Credentials } from "./auth/credentials.ts";
import type { JwtClaims } from "./auth/jwt-options.ts";
import { SCOPES } from "./auth/scopes.ts";
import { type Environment, limitsFromEnvironment } from "./consume/environment.ts";

/** How much is let in. The defaults suit people, dashboards and autoscalers. */
export interface LimitOptions {
  /** Of one token. Default 600. */
  readonly requestsPerMinute?: number;
  /** Of one address without a valid token. Default 10. */
  readonly failuresPerMinute?: number;
  /** Requests worked on at a time. Default 32. */
  readonly concurrency?: number;
  /** Requests that may wait for a place. Default 64. */
  readonly waiting?: number;
  /** `consume` and the cron endpoint at a time, none waits. Default 4. */
  readonly heavyConcurrency?: number;
}

export type Limits = Required<LimitOptions>;

export interface AdminServerOptions {
  readonly messenger: Messenger;
  /** For what only looks: with connections of its own it answers also while those of `messenger` are taken. Default: `messenger`. */
  readonly reader?: Messenger;
  readonly auth: AuthOptions;
  /** Default 127.0.0.1: whoever wants to be reached from elsewhere says so. */
  readonly host?: string;
  /** Default 8080; 0: any free one. */
  readonly port?: number;
  readonly limits?: LimitOptions;
  /** Proxies of one's own in front, whose `X-Forwarded-For` says who is calling. Default 0: nobody is believed. */
  readonly trustedProxies?: number;
  /** What the header `Host` may name, without port, in lower case. Default: anything. */
  readonly hosts?: readonly string[];
  readonly logger?: Logger;
  readonly runtime?: Runtime;
  /** `SYMPHONY_WORKER_…` for the cron endpoint; `NODE_ENV=development` shows internal errors to clients. Default: empty. */
  readonly environment?: Environment;
}

const count = (value: number) => integer({ min: 1, max: 1_000_000, default: value });

const limitsSchema = object({
  requestsPerMinute: count(600),
  failuresPerMinute: count(10),
  concurrency: count(32),
  waiting: count(64),
  heavyConcurrency: count(4),
});

const trustedProxies = integer({ min: 0, max: 10, default: 0 });

const hosts = listOf(string({ pattern: /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])$/ }), { default: [] });

const authConfigSchema = object({
  publicDocs: boolean({ default: false }),
  requireCronNonce: boolean({ default: false }),
  roles: record(listOf(oneOf(SCOPES)), { default: {} }),
  roleQueues: record(listOf(string({ pattern: QUEUE_PATTERN })), { default: {} }),
  roleClaim: string({ default: "role", pattern: /./ }),
  scopeClaim: string({ default: "scope", pattern: /./ }),
  limits: optional(limitsSchema),
  trustedProxies,
  hosts,
});

/** `auth` of the configuration. */
export interface AuthConfig extends JwtClaims {
  readonly publicDocs: boolean;
  readonly requireCronNonce: boolean;
  /** Absent: the defaults. */
  readonly limits?: Limits;
  readonly trustedProxies: number;
  readonly hosts: readonly string[];
}

/**
 * The part of `auth` that belongs into a configuration file; secrets come from the environment.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export const parseAuthConfig = (value: unknown): AuthConfig => parseOptions(authConfigSchema, value ?? {}, "config.auth");

/**
 * Checks credentials before anything is connected.
 *
 * @throws {ConfigError} `CONFIG_INVALID` there are none, they are weak, or the tokens file cannot be read.
 */
export function assertCredentials(auth: AuthOptions): void {
  new Credentials(auth, systemRuntime.clock, silentLogger);
}

const listenSchema = object({
  host: string({ default: "127.0.0.1" }),
  port: integer({ min: 0, max: 65_535, default: 8080 }),
  trustedProxies,
  hosts,
});

/** @throws {OptionsError} `OPTIONS_INVALID`, naming the field. */
export function parseServerOptions(o: AdminServerOptions) {
  const environment = o.environment ?? {};
  return {
    ...parseOptions(listenSchema, { host: o.host, port: o.port, trustedProxies: o.trustedProxies, hosts: o.hosts }, "admin"),
    messenger: o.messenger,
    reader: o.reader ?? o.messenger,
    auth: o.auth,
    limits: parseOptions(limitsSchema, o.limits ?? {}, "admin.limits") as Limits,
    logger: o.logger ?? silentLogger,
    runtime: o.runtime ?? systemRuntime,
    cronLimits: limitsFromEnvironment(environment),
    showInternals: environment.NODE_ENV === "development",
  };
}
