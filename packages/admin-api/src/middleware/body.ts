import type { Middleware } from "koa";
import { CONTROL_BODY, hasBody, readJson } from "../http/body.ts";
import { HttpProblem } from "../http/problem.ts";
import type { AnyEndpoint } from "../routes/endpoint.ts";
import type { State } from "./state.ts";

/** Reads the body. Before the gate: a client that is slow to send takes nobody's place. */
export const body =
  (endpoint: AnyEndpoint): Middleware<State> =>
  async (context, next) => {
    if (endpoint.body.type === "undefined" && hasBody(context.req))
      // It is not read; what is left of it would be taken for the next request.
      throw new HttpProblem(400, "VALIDATION_FAILED", "this request takes no body", { headers: { connection: "close" } });
    context.state.body = await readJson(context.req, endpoint.bodyLimits ?? CONTROL_BODY);
    await next();
  };
