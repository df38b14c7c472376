import type { Middleware } from "koa";
import { DOCS_POLICY, homePage } from "../docs-page.ts";
import type { State } from "./state.ts";

/** The page at the root: it tells nothing that is not in the manual, so that it needs no token. */
export const home: Middleware<State> = async (context, next) => {
  if (context.path !== "/" || (context.method !== "GET" && context.method !== "HEAD")) return next();
  context.set("content-security-policy", DOCS_POLICY);
  context.type = "text/html; charset=utf-8";
  context.body = homePage();
};
