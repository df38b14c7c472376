import type { Middleware } from "koa";
import type { z } from "zod";
import { Action } from "../audit/action.ts";
import { issuesOf } from "../http/issues.ts";
import { invalid } from "../http/problem.ts";
import { parseQuery } from "../http/query.ts";
import type { AnyEndpoint } from "../routes/endpoint.ts";
import type { State } from "./state.ts";

/** Checks the request against the schemas of its endpoint and sends what the endpoint answers. */
export const answer =
  (endpoint: AnyEndpoint): Middleware<State> =>
  async (context) => {
    const params = check(endpoint.params, (context as { params?: unknown }).params ?? {});
    const query = check(endpoint.query, parseQuery(context.search));
    const body = check(endpoint.body, context.state.body);
    const { requestId, principal } = context.state;
    const idempotencyKey = context.req.headersDistinct["idempotency-key"]?.[0];
    if (idempotencyKey !== undefined && endpoint.takesIdempotencyKey !== true)
      throw invalid([{ path: "Idempotency-Key", message: "means nothing here: this request is not kept" }]);
    const action = actionOf(endpoint, context.state, context.state.address);
    if (action !== undefined) context.state.action = action;
    const caller = { principal, requestId, idempotencyKey, action: action as Action };
    const given = await endpoint.handle({ params, query, body }, caller);
    context.status = given.status;
    context.body = given.body;
    if (given.type !== undefined) context.type = given.type;
    if (given.headers !== undefined) context.set({ ...given.headers });
  };

function actionOf({ action: name }: AnyEndpoint, { principal, requestId }: State, address: string | undefined): Action | undefined {
  return name === undefined || principal === undefined ? undefined : new Action({ name, principal, requestId, address });
}

function check(schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(issuesOf(parsed.error.issues));
}
