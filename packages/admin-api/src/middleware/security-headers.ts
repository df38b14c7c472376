import type { Middleware } from "koa";
import { SECURITY_HEADERS } from "../http/security-headers.ts";
import type { State } from "./state.ts";

/** A year, also for subdomains. */
const HSTS = "max-age=31536000; includeSubDomains";

/** @param trustedProxies - What they say of the way that the client came is believed. */
export const securityHeaders =
  (trustedProxies: number): Middleware<State> =>
  async (context, next) => {
    context.set({ ...SECURITY_HEADERS });
    if (trustedProxies > 0 && context.get("x-forwarded-proto") === "https") context.set("strict-transport-security", HSTS);
    await next();
  };
