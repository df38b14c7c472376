import {
  type AnyMessageType,
  createMessenger,
  type DispatchOptions,
  type DispatchReceipt,
  type DispatchResult,
  defineMessage,
  type Logger,
  MessageRegistry,
  type Messenger,
  MessengerError,
  systemRuntime,
} from "@symphony/core";
import type { WithScheduleDesk } from "../schedule-desk.ts";
import { AdminClient, type RemoteAddress } from "./admin-client.ts";
import { notHere } from "./not-here.ts";
import { RemoteSchedules } from "./remote-schedules.ts";
import { type QueueOf, RemoteTransport } from "./remote-transport.ts";

/** Requests under way at a time. */
const AT_ONCE = 16;

/** Which message types there are is for the other end to say. */
class OpenRegistry extends MessageRegistry {
  override get(name: string): AnyMessageType {
    return super.get(name) ?? defineMessage(name);
  }
}

interface Dispatched {
  readonly messageId: string;
  readonly transport: string;
  readonly queue: string;
  readonly scheduledAt?: string;
}

/**
 * A messenger whose transports are those of an admin API: for commands that look, dispatch and operate.
 *
 * @throws {MessengerError} `TRANSPORT_UNAVAILABLE` when nobody answers there.
 * @throws {RefusedError} `UNAUTHORIZED`, `FORBIDDEN` and other refusals.
 */
export async function openRemote(address: RemoteAddress, logger: Logger): Promise<Messenger & WithScheduleDesk> {
  const client = new AdminClient(address, systemRuntime.clock);
  const { queues } = await client.get<{ queues: readonly QueueOf[] }>("/api/symphony/queues");
  const names = [...new Set(queues.map(({ transport }) => transport))];
  const transports = Object.fromEntries(names.map((name) => [name, new RemoteTransport(client, name)]));
  // The DSN is for show: no transport is made of it.
  const config = { transports: Object.fromEntries(names.map((name) => [name, { dsn: "memory:" }])) };
  const base = await createMessenger(config, { transports, logger });
  const dispatch = (type: AnyMessageType, payload: unknown, options: DispatchOptions = {}) => dispatchTo(client, type, payload, options);
  return {
    config: base.config,
    registry: new OpenRegistry([]),
    handlers: base.handlers,
    router: base.router,
    buses: base.buses,
    runtime: base.runtime,
    logger: base.logger,
    meter: base.meter,
    tracing: base.tracing,
    resets: base.resets,
    transportNames: base.transportNames,
    bus: (name) => base.bus(name),
    transport: (name) => base.transport(name),
    serializer: (name) => base.serializer(name),
    retryStrategy: (...of) => base.retryStrategy(...of),
    cancel: (id, options) => base.cancel(id, options),
    close: () => base.close(),
    setUp: notHere,
    handle: notHere,
    scheduleDesk: new RemoteSchedules(client),
    dispatch,
    async dispatchMany(items) {
      const results: DispatchResult[] = [];
      for (let i = 0; i < items.length; i += AT_ONCE) {
        const some = items.slice(i, i + AT_ONCE);
        const settled = await Promise.allSettled(some.map((item) => dispatch(item.type, item.payload, item.options)));
        results.push(...settled.map((one) => (one.status === "fulfilled" ? one.value : { error: toMessengerError(one.reason) })));
      }
      return results;
    },
  };
}

async function dispatchTo(client: AdminClient, type: AnyMessageType, payload: unknown, given: DispatchOptions): Promise<DispatchReceipt> {
  const { stamps, transaction, ...options } = given;
  const unknown = Object.keys({ ...(stamps === undefined ? {} : { stamps }), ...(transaction === undefined ? {} : { transaction }) });
  if (unknown.length > 0) throw new MessengerError("DISPATCH_OPTIONS_INVALID", `the admin API does not take ${unknown.join(", ")}`);
  const answer = await client.send<Dispatched>("/api/symphony/dispatch", { message: { type: type.name, payload }, options });
  const { messageId, transport: name, queue: line, scheduledAt: due } = answer.body;
  return {
    messageId,
    transport: name,
    queue: line,
    duplicate: answer.status === 200,
    ...(due === undefined ? {} : { scheduledAt: new Date(due) }),
  };
}

const toMessengerError = (reason: unknown): MessengerError =>
  reason instanceof MessengerError ? reason : new MessengerError("TRANSPORT_FAILED", (reason as Error).message, { cause: reason });
