import { ConfigError, TransportError } from "../errors.ts";
import type { Messenger } from "../messenger.ts";
import type { Schedule } from "./schedule.ts";
import { isSchedulable, type ScheduleStore } from "./store.ts";

/** The schedules of one transport, which sends their messages and keeps their state. */
export interface Placement {
  readonly transport: string;
  readonly store: ScheduleStore;
  readonly schedules: readonly Schedule[];
}

/**
 * Where each schedule of the configuration is at home.
 *
 * @throws {ConfigError} `CONFIG_INVALID`: its message goes to no transport or to several, or is handled at once.
 * @throws {TransportError} `CAPABILITY_MISSING`: the transport cannot keep schedules.
 */
export function placeSchedules(messenger: Messenger): readonly Placement[] {
  const placed = new Map<string, { store: ScheduleStore; schedules: Schedule[] }>();
  for (const schedule of messenger.config.schedules) {
    const transport = transportOf(messenger, schedule);
    const known = placed.get(transport) ?? { store: storeOf(messenger, transport, schedule.name), schedules: [] };
    known.schedules.push(schedule);
    placed.set(transport, known);
  }
  return [...placed].map(([transport, { store, schedules }]) => ({ transport, store, schedules }));
}

/** The one transport of its message. One commit holds the message and the progress: that is why it must be one. */
export function transportOf(messenger: Pick<Messenger, "router">, schedule: Schedule): string {
  const named = schedule.dispatch.transport;
  const routed = named === undefined ? (messenger.router.find(schedule.message.name) ?? []) : [named];
  const [transport] = routed;
  if (transport !== undefined && routed.length === 1) return transport;
  const where = routed.length === 0 ? "is routed to no transport" : `is routed to several transports (${routed.join(", ")})`;
  throw new ConfigError(`the message "${schedule.message.name}" of the schedule "${schedule.name}" ${where}: name one with \`transport\``, {
    schedule: schedule.name,
  });
}

function storeOf(messenger: Messenger, name: string, schedule: string): ScheduleStore {
  if (!messenger.transportNames.includes(name))
    throw new ConfigError(`the schedule "${schedule}" needs a transport that stores messages, and "${name}" handles them at once`, {
      schedule,
    });
  const transport = messenger.transport(name);
  if (isSchedulable(transport)) return transport.schedules;
  throw new TransportError("CAPABILITY_MISSING", `the transport "${name}" cannot keep schedules, as "${schedule}" needs it`, {
    details: { transport: name, schedule },
  });
}
