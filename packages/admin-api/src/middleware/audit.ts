import { isAuditable, type Logger, type Messenger, toErrorRecord } from "@symphony/core";
import type { Middleware } from "koa";
import { Action } from "../audit/action.ts";
import { type HttpProblem, toProblem } from "../http/problem.ts";
import type { AnyEndpoint } from "../routes/endpoint.ts";
import { transportOrDefault } from "../transports.ts";
import type { State } from "./state.ts";

/** Refusals that tell what somebody tried. Of the others, 400 names nothing that exists and 429 and 503 would be a flood. */
const TELLING = new Set([403, 404, 409, 422, 500]);

/**
 * Remembers what was tried by somebody known: one line in the log, and a record beside what the action changed. Never
 * what a message holds.
 */
export const audit =
  ({ action: name }: AnyEndpoint, messenger: Messenger, logger: Logger): Middleware<State> =>
  async (context, next) => {
    if (name === undefined) return next();
    const line = (status: number, outcome: string): void => {
      const { principal, requestId } = context.state;
      if (principal === undefined) return;
      const who = { principal: principal.name, token_id: principal.tokenId, address: context.state.address ?? null };
      logger.info({ audit: true, request_id: requestId, ...who, action: name, target: targetOf(context), status, outcome }, "action");
    };
    try {
      await next();
      line(context.status, context.state.isRepeated === true ? "repeated" : "done");
    } catch (error) {
      const problem = toProblem(error);
      line(problem.status, problem.code);
      await recordRefusal(context.state, problem, { name, messenger, logger, address: context.state.address });
      throw error;
    }
  };

async function recordRefusal(
  { principal, requestId, action }: State,
  problem: HttpProblem,
  o: { readonly name: string; readonly messenger: Messenger; readonly logger: Logger; readonly address: string | undefined },
): Promise<void> {
  // Without an action it was refused at the door.
  if (principal === undefined || action?.isDone === true || !TELLING.has(problem.status)) return;
  const { name, messenger, logger, address } = o;
  try {
    const transport = action?.transport ?? transportOrDefault(messenger, undefined)[1];
    const { entry } = action ?? new Action({ name, principal, requestId, address });
    if (isAuditable(transport)) await transport.recordRefusal(entry, problem.code);
  } catch (error) {
    // Nothing was changed: that it is in the log alone is enough.
    logger.warn({ request_id: requestId, err: toErrorRecord(error) }, "a refusal could not be recorded");
  }
}

/** The message, or the queue: that of the path, or the one that was made. */
function targetOf(context: { readonly body: unknown; readonly params?: unknown }): string | null {
  const { id: ofMessage, name } = (context.params ?? {}) as { id?: string; name?: string };
  const id = ofMessage ?? name;
  const { messageId } = (context.body ?? {}) as { messageId?: unknown };
  return typeof messageId === "string" ? messageId : id === undefined ? null : id.slice(0, 64);
}
