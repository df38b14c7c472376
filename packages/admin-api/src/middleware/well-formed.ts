import type { Middleware } from "koa";
import { invalid } from "../http/problem.ts";
import type { State } from "./state.ts";

/** Headers that must not come twice: which of the two counts would depend on who reads them. */
const ONCE = ["authorization", "host", "content-type", "content-length", "idempotency-key", "x-symphony-timestamp", "x-symphony-nonce"];

/** Where some put a token that belongs into the header: it would be in the log of every proxy. */
const TOKEN_IN_QUERY = /[?&](?:access_token|api_?key|token)=/i;

const PORT = /:\d+$/;

/** Refuses requests that a proxy in front may have understood differently, or that tell a secret to everybody on their way. */
export const wellFormed =
  (hosts: readonly string[]): Middleware<State> =>
  async (context, next) => {
    const { req } = context;
    // HTTP/0.9 has no headers, and the parser lets it pass.
    if (req.httpVersionMajor < 1) throw invalid([{ path: "", message: "the request must be HTTP/1.1" }]);
    if (req.url?.startsWith("/") !== true || req.url.startsWith("//")) throw invalid([{ path: "", message: "the target must be a path" }]);
    if (req.headers.host === undefined) throw invalid([{ path: "host", message: "the header is missing" }]);
    if (hosts.length > 0 && !hosts.includes(req.headers.host.toLowerCase().replace(PORT, "")))
      throw invalid([{ path: "host", message: "is not a name of this server" }]);
    if (TOKEN_IN_QUERY.test(req.url))
      throw invalid([{ path: "", message: "a token belongs into the header Authorization: this one must be replaced" }]);
    const twice = ONCE.find((name) => (req.headersDistinct[name]?.length ?? 0) > 1);
    if (twice !== undefined) throw invalid([{ path: twice, message: "the header is there twice" }]);
    if (req.headers.authorization !== undefined && req.headers.cookie !== undefined)
      throw invalid([{ path: "cookie", message: "a request with a token must not bring cookies" }]);
    await next();
  };
