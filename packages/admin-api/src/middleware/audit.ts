import type { Logger } from "@symphony/core";
import type { Middleware } from "koa";
import { toProblem } from "../http/problem.ts";
import type { AnyEndpoint } from "../routes/endpoint.ts";
import type { State } from "./state.ts";

/** One line per action that was tried by somebody known: who, what, on what, with what outcome. Never what a message holds. */
export const audit =
  ({ action }: AnyEndpoint, logger: Logger): Middleware<State> =>
  async (context, next) => {
    if (action === undefined) return next();
    const line = (status: number, outcome: string): void => {
      const { principal, requestId } = context.state;
      if (principal === undefined) return;
      const who = { principal: principal.name, token_id: principal.tokenId, address: context.req.socket.remoteAddress ?? null };
      logger.info({ audit: true, request_id: requestId, ...who, action, target: targetOf(context), status, outcome }, "action");
    };
    try {
      await next();
      line(context.status, "done");
    } catch (error) {
      const problem = toProblem(error);
      line(problem.status, problem.code);
      throw error;
    }
  };

/** The message, or the queue: that of the path, or the one that was made. */
function targetOf(context: { readonly body: unknown; readonly params?: unknown }): string | null {
  const { id: ofMessage, name } = (context.params ?? {}) as { id?: string; name?: string };
  const id = ofMessage ?? name;
  const { messageId } = (context.body ?? {}) as { messageId?: unknown };
  return typeof messageId === "string" ? messageId : id === undefined ? null : id.slice(0, 64);
}
