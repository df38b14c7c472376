import type { Logger } from "@symphony/core";
import type { Middleware } from "koa";
import type { Credentials, Identified } from "../auth/credentials.ts";
import { HttpProblem } from "../http/problem.ts";
import type { WindowLimiter } from "../limits/window-limiter.ts";
import type { RouteEntry } from "../routes/table.ts";
import type { State } from "./state.ts";

export interface AuthenticateInput {
  readonly entry: RouteEntry;
  readonly credentials: Credentials;
  readonly publicDocs: boolean;
  /** Failures by address. */
  readonly failures: WindowLimiter;
  readonly logger: Logger;
}

/** RFC 6750; longer ones are no token of ours and not worth a digest. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,8192}=*)$/i;

/**
 * Lets in who has the scope of the route. Missing, wrong and expired tokens get the same answer; a valid token is let in
 * also from an address with too many failures, so that nobody can lock out others behind one gateway.
 */
export const authenticate =
  ({ entry, credentials, publicDocs, failures, logger }: AuthenticateInput): Middleware<State> =>
  async (context, next) => {
    context.state.route = entry.path;
    if (entry.isDocs === true && publicDocs) return next();
    const header = context.req.headers.authorization;
    const presented = BEARER.exec(header ?? "")?.[1];
    const identified = presented === undefined ? NONE : await identify(presented, { entry, credentials, address: context.state.address });
    const { principal } = identified;
    if (principal === undefined) {
      const address = context.state.address ?? "";
      const taken = failures.take(address);
      // A flood of failures is told by its first lines.
      const { requestId } = context.state;
      if (taken.allowed)
        logger.warn(
          { audit: true, request_id: requestId, address, route: entry.path, reason: identified.refusal },
          "authentication failed",
        );
      else
        throw new HttpProblem(429, "RATE_LIMITED", "too many requests without a valid token", {
          headers: { "retry-after": String(taken.resetS) },
        });
      throw unauthorized(header !== undefined);
    }
    context.state.principal = principal;
    if (entry.access !== "cron secret" && !principal.scopes.has(entry.access)) {
      logger.warn(
        { audit: true, request_id: context.state.requestId, principal: principal.name, token_id: principal.tokenId, route: entry.path },
        "access denied",
      );
      throw forbidden(entry.access);
    }
    return next();
  };

const NONE: Identified = { refusal: "no well-formed bearer token" };

async function identify(
  presented: string,
  { entry, credentials, address }: Pick<AuthenticateInput, "entry" | "credentials"> & { readonly address: string | undefined },
): Promise<Identified> {
  if (entry.access !== "cron secret") return credentials.ofToken(presented, address);
  const cron = credentials.ofCronSecret(presented);
  // A good token in the wrong place is told so, instead of being called bad.
  if (cron.principal === undefined && (await credentials.ofToken(presented, address)).principal !== undefined)
    throw new HttpProblem(403, "FORBIDDEN", "this route takes the cron secret only");
  return cron;
}

const unauthorized = (wasGiven: boolean): HttpProblem =>
  new HttpProblem(401, "UNAUTHORIZED", "send a valid token as Authorization: Bearer TOKEN", {
    headers: { "www-authenticate": wasGiven ? 'Bearer realm="symphony", error="invalid_token"' : 'Bearer realm="symphony"' },
  });

const forbidden = (scope: string): HttpProblem =>
  new HttpProblem(403, "FORBIDDEN", `the token lacks the scope ${scope}`, {
    headers: { "www-authenticate": `Bearer realm="symphony", error="insufficient_scope", scope="${scope}"` },
  });
