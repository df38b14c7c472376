import type { Runtime } from "@symphony/core";
import type { Middleware } from "koa";
import type { State } from "./state.ts";

const SAFE_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** One id for the answer, the log and the audit: the caller's when it is harmless, else a new one. */
export const requestId =
  (runtime: Runtime): Middleware<State> =>
  async (context, next) => {
    const given = context.get("x-request-id");
    context.state.requestId = SAFE_ID.test(given) ? given : runtime.newId();
    context.set("x-request-id", context.state.requestId);
    await next();
  };
