import type { Middleware } from "koa";
import { HttpProblem } from "../http/problem.ts";
import type { WindowLimiter } from "../limits/window-limiter.ts";
import type { State } from "./state.ts";

/** So many requests a minute for each token; those without one, for the documents, count by address. */
export const limitRate =
  (requests: WindowLimiter): Middleware<State> =>
  async (context, next) => {
    const key = context.state.principal?.digest.toString("hex") ?? `address ${context.state.address ?? ""}`;
    const { allowed, limit, remaining, resetS } = requests.take(key);
    context.set("ratelimit-policy", `"default";q=${limit};w=60`);
    context.set("ratelimit", `"default";r=${remaining};t=${resetS}`);
    if (!allowed)
      throw new HttpProblem(429, "RATE_LIMITED", "too many requests with this token", { headers: { "retry-after": String(resetS) } });
    await next();
  };
