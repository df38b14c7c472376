import { isIP } from "node:net";
import type { Middleware } from "koa";
import type { State } from "./state.ts";

/**
 * Finds out whose request it is. Every proxy appends the address that it was asked from to `X-Forwarded-For`: of so many
 * proxies of one's own the entries are believed, and what a client has written before them is not.
 */
export const address =
  (trustedProxies: number): Middleware<State> =>
  (context, next) => {
    const { remoteAddress } = context.req.socket;
    const found = trustedProxies === 0 ? remoteAddress : (forwarded(context.get("x-forwarded-for"), trustedProxies) ?? remoteAddress);
    if (found !== undefined) context.state.address = found;
    return next();
  };

/** Undefined where there is no address at that place. A request that came past some of the proxies has fewer entries. */
function forwarded(header: string, trustedProxies: number): string | undefined {
  const entries = header.split(",").map((entry) => entry.trim());
  const entry = entries[Math.max(0, entries.length - trustedProxies)] ?? "";
  return isIP(entry) === 0 ? undefined : entry;
}
