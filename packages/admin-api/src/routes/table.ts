import type { Scope } from "../auth/scopes.ts";

/** What a route asks of its caller: a token with this scope, or the cron secret. */
export type Access = Scope | "cron secret";

export interface RouteEntry {
  readonly method: "GET" | "POST" | "DELETE";
  /** `:id` and `:name` stand for one segment each. */
  readonly path: string;
  readonly access: Access;
  /** Opened by `auth.publicDocs`. */
  readonly isDocs?: true;
}

/** Every route, and the one scope that it asks for. There is no other way in. */
export const ROUTES = {
  dispatch: { method: "POST", path: "/api/symphony/dispatch", access: "symphony:dispatch" },
  consume: { method: "POST", path: "/api/symphony/consume", access: "symphony:operate" },
  status: { method: "GET", path: "/api/symphony/status", access: "symphony:read" },
  listFailed: { method: "GET", path: "/api/symphony/failed", access: "symphony:read" },
  failedGroups: { method: "GET", path: "/api/symphony/failed/groups", access: "symphony:read" },
  showFailed: { method: "GET", path: "/api/symphony/failed/:id", access: "symphony:read" },
  retryFailed: { method: "POST", path: "/api/symphony/failed/:id/retry", access: "symphony:operate" },
  removeFailed: { method: "DELETE", path: "/api/symphony/failed/:id", access: "symphony:purge" },
  retryManyFailed: { method: "POST", path: "/api/symphony/failed/retry", access: "symphony:operate" },
  removeManyFailed: { method: "POST", path: "/api/symphony/failed/remove", access: "symphony:purge" },
  listRedrives: { method: "GET", path: "/api/symphony/redrives", access: "symphony:read" },
  showRedrive: { method: "GET", path: "/api/symphony/redrives/:id", access: "symphony:read" },
  pauseRedrive: { method: "POST", path: "/api/symphony/redrives/:id/pause", access: "symphony:operate" },
  resumeRedrive: { method: "POST", path: "/api/symphony/redrives/:id/resume", access: "symphony:operate" },
  cancelRedrive: { method: "POST", path: "/api/symphony/redrives/:id/cancel", access: "symphony:operate" },
  queues: { method: "GET", path: "/api/symphony/queues", access: "symphony:read" },
  showMessage: { method: "GET", path: "/api/symphony/messages/:id", access: "symphony:read" },
  cancelMessage: { method: "POST", path: "/api/symphony/messages/:id/cancel", access: "symphony:operate" },
  pauseQueue: { method: "POST", path: "/api/symphony/queues/:name/pause", access: "symphony:operate" },
  resumeQueue: { method: "POST", path: "/api/symphony/queues/:name/resume", access: "symphony:operate" },
  purgeQueue: { method: "POST", path: "/api/symphony/queues/:name/purge", access: "symphony:purge" },
  schedules: { method: "GET", path: "/api/symphony/schedules", access: "symphony:read" },
  runSchedule: { method: "POST", path: "/api/symphony/schedules/:name/run", access: "symphony:operate" },
  pauseSchedule: { method: "POST", path: "/api/symphony/schedules/:name/pause", access: "symphony:operate" },
  resumeSchedule: { method: "POST", path: "/api/symphony/schedules/:name/resume", access: "symphony:operate" },
  removeSchedule: { method: "DELETE", path: "/api/symphony/schedules/:name", access: "symphony:purge" },
  workers: { method: "GET", path: "/api/symphony/workers", access: "symphony:read" },
  stopWorkers: { method: "POST", path: "/api/symphony/workers/stop", access: "symphony:operate" },
  scaling: { method: "GET", path: "/api/symphony/scaling", access: "symphony:read" },
  listAudit: { method: "GET", path: "/api/symphony/audit", access: "symphony:read" },
  undo: { method: "POST", path: "/api/symphony/audit/:id/undo", access: "symphony:purge" },
  cron: { method: "GET", path: "/api/cron/symphony-worker", access: "cron secret" },
  cronByPost: { method: "POST", path: "/api/cron/symphony-worker", access: "cron secret" },
  openapi: { method: "GET", path: "/openapi.json", access: "symphony:read", isDocs: true },
  docs: { method: "GET", path: "/docs", access: "symphony:read", isDocs: true },
} as const satisfies Readonly<Record<string, RouteEntry>>;

export type RouteName = keyof typeof ROUTES;
