import type { Clock, Logger } from "@symphony/core";
import type { Middleware } from "koa";
import type { State } from "./state.ts";

/**
 * One line per request, without query and body: a token may have been put there by mistake. At debug for strangers, who
 * could otherwise fill the disk.
 */
export const requestLog =
  (logger: Logger, clock: Clock): Middleware<State> =>
  async (context, next) => {
    const startedAt = clock.monotonic();
    await next();
    const { requestId, principal, route } = context.state;
    const fields = {
      request_id: requestId,
      method: context.method,
      route: route ?? null,
      status: context.status,
      duration_ms: Math.round(clock.monotonic() - startedAt),
      address: context.state.address ?? null,
      ...(principal === undefined ? {} : { principal: principal.name, token_id: principal.tokenId }),
    };
    if (principal === undefined) logger.debug(fields, "request");
    else logger.info(fields, "request");
  };
