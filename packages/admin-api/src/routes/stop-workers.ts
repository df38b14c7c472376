import { isReapable, isSupervisable, type Messenger, type Reapable, type Supervisable } from "@symphony/core";
import { z } from "zod";
import { assertUnlimited } from "../auth/queue-limit.ts";
import { capable, transportOrDefault } from "../transports.ts";
import { type AnyEndpoint, endpoint } from "./endpoint.ts";
import { count, name, success } from "./fields.ts";

export const stopWorkersEndpoint = (messenger: Messenger): AnyEndpoint =>
  endpoint({
    summary: "Ask every fleet that runs now to replace its worker processes, one by one",
    query: z.strictObject({ transport: name.optional() }),
    answers: { 200: z.strictObject({ success, transport: z.string(), workers: count.meta({ description: "That ran at the time." }) }) },
    problems: [404, 422],
    action: "stop-workers",
    async handle({ query }, caller) {
      assertUnlimited(caller);
      const named = transportOrDefault(messenger, query.transport);
      const able = capable<Supervisable & Reapable>(named, (each) => isSupervisable(each) && isReapable(each), "ask workers to stop");
      const [transport, source] = able;
      const workers = await caller.action.carryOut(able, { target: transport }, async () => {
        // Counted before: those that come up after the request are not meant by it.
        const { length } = await source.listWorkers();
        await source.requestStop();
        return { value: length, count: length };
      });
      return { status: 200, body: { success: true, transport, workers } };
    },
  });
