import type { Middleware } from "koa";
import type { Gate } from "../limits/gate.ts";
import type { State } from "./state.ts";

export const enter =
  (gate: Gate): Middleware<State> =>
  async (_context, next) => {
    const leave = await gate.enter();
    try {
      await next();
    } finally {
      leave();
    }
  };
