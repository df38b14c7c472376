import { type Logger, toErrorRecord } from "@symphony/core";
import type { Middleware } from "koa";
import { problemBody, toProblem } from "../http/problem.ts";
import type { State } from "./state.ts";

/** Turns whatever is thrown further in into an answer. What the client is not told is in the log, under the request id. */
export const problems =
  (logger: Logger, showInternals: boolean): Middleware<State> =>
  async (context, next) => {
    try {
      await next();
    } catch (error) {
      const problem = toProblem(error);
      const { requestId } = context.state;
      if (problem.status >= 500)
        logger.error({ request_id: requestId, status: problem.status, err: toErrorRecord(problem.cause ?? problem) }, "request failed");
      context.status = problem.status;
      context.set({ ...problem.headers });
      context.body = JSON.stringify(problemBody(problem, requestId, showInternals));
      context.type = "application/problem+json; charset=utf-8";
    }
  };
