import type { Action } from "../audit/action.ts";
import type { Principal } from "../auth/tokens.ts";

/** What the middleware finds out about a request, for those that come after. */
export interface State {
  requestId: string;
  /** Of the client, as far as the proxies in front are to be believed. */
  address?: string;
  principal?: Principal;
  /** Of endpoints that change something, once the caller was let in. */
  action?: Action;
  /** Nothing was done: the answer is that of an earlier request with the same key. */
  isRepeated?: true;
  /** Parsed; undefined: there is none. */
  body?: unknown;
  /** Pattern of the matched route: for the log, which must not hold ids of a stranger's making. */
  route?: string;
}
