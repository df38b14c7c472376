import { type Messenger, MessengerError, NAME_PATTERN, type Runtime } from "@symphony/core";
import { z } from "zod";
import { mayTouch } from "../auth/queue-limit.ts";
import { Remembered } from "../remembered.ts";
import { countable, inTime, transportOrDefault } from "../transports.ts";
import { type AnyEndpoint, endpoint } from "./endpoint.ts";
import { count, name, success, timestamp } from "./fields.ts";

const loadSchema = z.strictObject({
  ready: count,
  active: count,
  backlog: count.meta({ description: "ready + active: scaling in must not take a worker that is busy for an idle one." }),
});

type Load = z.output<typeof loadSchema>;

/** An autoscaler asks every few seconds, several of them together: one count a second is enough for all. */
const FRESH_MS = 1_000;
/** A number that is minutes old is better than none: without one an autoscaler may go to its fallback. */
const STALE_MS = 300_000;

/** For KEDA's `metrics-api` trigger: plain numbers for its `valueLocation`, `backlog` or `queues.NAME.backlog`. */
export const scalingEndpoint = ({ reader, runtime }: { readonly reader: Messenger; readonly runtime: Runtime }): AnyEndpoint => {
  const remembered = new Remembered<Readonly<Record<string, Load>>>({
    clock: runtime.clock,
    freshMs: FRESH_MS,
    staleMs: STALE_MS,
    isPatient: true,
  });
  return endpoint({
    summary: "Show the backlog, for autoscalers",
    query: z.strictObject({
      transport: name.optional(),
      queues: z.string().max(2_000).optional().meta({ description: "Only these queues, a,b: what one pool of workers consumes." }),
    }),
    answers: {
      200: z.strictObject({
        success,
        transport: z.string(),
        ...loadSchema.shape,
        queues: z.record(z.string(), loadSchema),
        stale: z.boolean(),
        timestamp,
      }),
    },
    problems: [404, 422],
    async handle({ query }, caller) {
      const [transport, source] = countable(transportOrDefault(reader, query.transport));
      const { value, at, isStale } = await remembered.get(transport, async () => {
        const rows = await inTime(runtime.clock, source.getCounts());
        return Object.fromEntries(rows.map(({ queue, ready, active }) => [queue, { ready, active, backlog: ready + active }]));
      });
      const own = Object.fromEntries(Object.entries(value).filter(([queue]) => mayTouch(caller, queue)));
      const queues = query.queues === undefined ? own : only(own, query.queues.split(","));
      return {
        status: 200,
        body: { success: true, transport, ...sum(Object.values(queues)), queues, stale: isStale, timestamp: new Date(at).toISOString() },
      };
    },
  });
};

function only(all: Readonly<Record<string, Load>>, names: readonly string[]): Readonly<Record<string, Load>> {
  const chosen = names.map((wanted): readonly [string, Load] => {
    const load = NAME_PATTERN.test(wanted) && Object.hasOwn(all, wanted) ? all[wanted] : undefined;
    if (load === undefined) throw new MessengerError("QUEUE_NOT_FOUND", "no such queue among those asked for", { details: {} });
    return [wanted, load];
  });
  return Object.fromEntries(chosen);
}

const sum = (loads: readonly Load[]): Load => ({
  ready: loads.reduce((total, load) => total + load.ready, 0),
  active: loads.reduce((total, load) => total + load.active, 0),
  backlog: loads.reduce((total, load) => total + load.backlog, 0),
});
