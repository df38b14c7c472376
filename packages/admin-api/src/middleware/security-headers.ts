import type { Middleware } from "koa";
import { SECURITY_HEADERS } from "../http/security-headers.ts";
import type { State } from "./state.ts";

export const securityHeaders: Middleware<State> = async (context, next) => {
  context.set({ ...SECURITY_HEADERS });
  await next();
};
