import Router from "@koa/router";
import { type Logger, type Messenger, type Runtime, toErrorRecord } from "@symphony/core";
import Koa from "koa";
import type { Credentials } from "./auth/credentials.ts";
import { HttpProblem } from "./http/problem.ts";
import { Gate } from "./limits/gate.ts";
import { WindowLimiter } from "./limits/window-limiter.ts";
import { address } from "./middleware/address.ts";
import { answer } from "./middleware/answer.ts";
import { audit } from "./middleware/audit.ts";
import { authenticate } from "./middleware/authenticate.ts";
import { body } from "./middleware/body.ts";
import { enter } from "./middleware/enter.ts";
import { home } from "./middleware/home.ts";
import { limitRate } from "./middleware/limit-rate.ts";
import { problems } from "./middleware/problems.ts";
import { requestId } from "./middleware/request-id.ts";
import { requestLog } from "./middleware/request-log.ts";
import { securityHeaders } from "./middleware/security-headers.ts";
import type { State } from "./middleware/state.ts";
import { wellFormed } from "./middleware/well-formed.ts";
import type { Limits } from "./options.ts";
import { Once } from "./requests/once.ts";
import type { AnyEndpoint } from "./routes/endpoint.ts";
import { ROUTES, type RouteEntry, type RouteName } from "./routes/table.ts";

export interface AppInput {
  readonly messenger: Messenger;
  readonly endpoints: Readonly<Record<RouteName, AnyEndpoint>>;
  readonly credentials: Credentials;
  readonly publicDocs: boolean;
  readonly limits: Limits;
  readonly trustedProxies: number;
  /** What `Host` may name; empty: anything. */
  readonly hosts: readonly string[];
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** An action was carried out, or may have been. */
  readonly onChange: () => void;
  /** Details of internal errors go to the client. */
  readonly showInternals: boolean;
}

const MINUTE_MS = 60_000;

/** The way of a request, in order. */
export function createApp(input: AppInput): Koa<State> {
  const { runtime, logger } = input;
  const app = new Koa<State>();
  app.on("error", (error: unknown) => logger.error({ err: toErrorRecord(error) }, "an answer could not be sent"));
  app.use(requestId(runtime));
  app.use(address(input.trustedProxies));
  app.use(securityHeaders(input.trustedProxies));
  app.use(requestLog(logger, runtime.clock));
  app.use(problems(logger, input.showInternals));
  app.use(wellFormed(input.hosts));
  app.use(home);
  app.use(routes(input).routes());
  app.use(nothingThere);
  return app;
}

function routes({ messenger, endpoints, credentials, publicDocs, limits, runtime, logger, onChange }: AppInput): Router<State> {
  const { clock } = runtime;
  const router = new Router<State>({ strict: true, sensitive: true });
  const failures = new WindowLimiter({ limit: limits.failuresPerMinute, windowMs: MINUTE_MS, clock });
  const requests = new WindowLimiter({ limit: limits.requestsPerMinute, windowMs: MINUTE_MS, clock });
  const ordinary = new Gate({ places: limits.concurrency, seats: limits.waiting });
  const once = new Once({ messenger, logger });
  const heavy = new Gate({ places: limits.heavyConcurrency, seats: 0 });
  for (const [name, entry] of Object.entries(ROUTES) as [RouteName, RouteEntry][]) {
    const endpoint = endpoints[name];
    router.register(
      entry.path,
      [entry.method],
      [
        ...(changesByGet(entry) ? [notByHead] : []),
        audit(endpoint, messenger, logger),
        authenticate({ entry, credentials, publicDocs, failures, logger }),
        limitRate(requests),
        body(endpoint),
        enter(endpoint.isHeavy === true ? heavy : ordinary),
        answer({ endpoint, method: entry.method, route: entry.path, once, onChange }),
      ],
    );
  }
  return router;
}

/** The timers of some hosts can only send a GET. */
const changesByGet = ({ method, access }: RouteEntry): boolean => method === "GET" && access === "cron secret";

/** The router takes a HEAD for a GET, but whoever only asks for the headers wants nothing done. */
const notByHead: Koa.Middleware<State> = (context, next) => (context.method === "HEAD" ? nothingThere(context) : next());

/** Paths are matched exactly: what is not in the table is nowhere. */
function nothingThere(context: Koa.ParameterizedContext<State>): never {
  const allowed = (Object.values(ROUTES) as readonly RouteEntry[]).filter(({ path }) => pattern(path).test(context.path));
  if (allowed.length === 0) throw new HttpProblem(404, "NOT_FOUND", "there is nothing at this path");
  const methods = allowed.flatMap((entry) => (entry.method === "GET" && !changesByGet(entry) ? ["GET", "HEAD"] : [entry.method]));
  const allow = [...new Set(methods)].join(", ");
  throw new HttpProblem(405, "METHOD_NOT_ALLOWED", `allowed here: ${allow}`, { headers: { allow } });
}

const pattern = (path: string): RegExp => new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/:\w+/g, "[^/]+")}$`);
