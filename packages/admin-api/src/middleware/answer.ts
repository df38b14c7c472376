import type { Middleware } from "koa";
import type { z } from "zod";
import { Action } from "../audit/action.ts";
import { issuesOf } from "../http/issues.ts";
import { invalid } from "../http/problem.ts";
import { parseQuery } from "../http/query.ts";
import type { Once } from "../requests/once.ts";
import type { Answer, AnyEndpoint, Caller } from "../routes/endpoint.ts";
import type { State } from "./state.ts";

export interface AnswerInput {
  readonly endpoint: AnyEndpoint;
  readonly method: string;
  /** Pattern of the path. */
  readonly route: string;
  readonly once: Once;
  /** Of endpoints with an action, when they have ended, well or not. */
  readonly onChange: () => void;
}

type Headers = Readonly<Record<string, readonly string[] | undefined>>;

/** Checks the request against the schemas of its endpoint and sends what the endpoint answers. */
export const answer = ({ endpoint, method, route, once, onChange }: AnswerInput): Middleware<State> => {
  const headerNames = Object.keys((endpoint.headers as z.ZodObject).shape);
  return async (context) => {
    const { headersDistinct } = context.req;
    const params = check(endpoint.params, (context as { params?: unknown }).params ?? {});
    const query = check(endpoint.query, parseQuery(context.search));
    const body = check(endpoint.body, context.state.body);
    const headers = check(endpoint.headers, pick(headersDistinct, headerNames));
    const { requestId, principal } = context.state;
    const key = headersDistinct["idempotency-key"]?.[0];
    if (key !== undefined && method !== "POST")
      throw invalid([{ path: "Idempotency-Key", message: "means nothing here: this request may be repeated as it is" }]);
    const action = actionOf(endpoint, context.state, context.state.address);
    if (action !== undefined) context.state.action = action;
    let later: (() => void)[] = [];
    const caller: Caller = { principal, requestId, idempotencyKey: key, action: action as Action, afterwards: (work) => later.push(work) };
    const handle = async (): Promise<Answer> => {
      // It may come to a second try, when the database took back the first one.
      later = [];
      return endpoint.handle({ params, query, body, headers }, caller);
    };
    try {
      if (key === undefined || endpoint.ownIdempotency === true || principal === undefined) send(context, await handle());
      else {
        const content = [method, route, params, query, body ?? null];
        const { isRepeated, ...given } = await once.answer({ key, principal, content, isLong: endpoint.isHeavy === true }, handle);
        if (isRepeated) {
          context.state.isRepeated = true;
          context.set("idempotency-replayed", "true");
        }
        send(context, given);
      }
    } finally {
      if (action !== undefined) onChange();
    }
    for (const work of later) work();
  };
};

function send(context: Parameters<Middleware<State>>[0], given: Answer): void {
  context.status = given.status;
  context.body = given.body;
  if (given.type !== undefined) context.type = given.type;
  if (given.headers !== undefined) context.set({ ...given.headers });
}

const pick = (headers: Headers, names: readonly string[]): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(names.flatMap((name) => (headers[name.toLowerCase()] ?? []).slice(0, 1).map((value) => [name, value])));

function actionOf({ action: name }: AnyEndpoint, { principal, requestId }: State, address: string | undefined): Action | undefined {
  return name === undefined || principal === undefined ? undefined : new Action({ name, principal, requestId, address });
}

function check(schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(issuesOf(parsed.error.issues));
}
