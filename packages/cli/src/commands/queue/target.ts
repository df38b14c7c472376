import { type Messenger, MessengerError, type PauseTarget, type Transport } from "@symphony/core";
import type { Argv } from "yargs";
import { text } from "../../command.ts";
import { chosenTransports } from "../../session.ts";

export const TARGET_OPTIONS = {
  type: text("Only messages of this type"),
  transport: text("The transport that has the queue; default: the first that can do this"),
} as const;

export const queueName = (yargs: Argv): Argv => yargs.positional("name", { type: "string", demandOption: true, describe: "The queue" });

/** Without one, a type in all queues is meant. */
export const maybeQueueName = (yargs: Argv): Argv =>
  yargs.positional("name", { type: "string", describe: "The queue; without it, --type in all queues" });

export function toTarget(flags: { readonly type?: string | undefined; readonly name?: unknown }): PauseTarget {
  return { queue: String(flags.name), ...(flags.type === undefined ? {} : { type: flags.type }) };
}

export const describeTarget = ({ queue, type }: PauseTarget): string =>
  type === undefined ? `queue ${queue}` : `${type} in queue ${queue}`;

/** @throws {MessengerError} `CAPABILITY_MISSING` when no transport, or not the named one, can do it. */
export function transportThatCan<C>(
  messenger: Messenger,
  named: string | undefined,
  can: (transport: Transport) => transport is Transport & C,
  what: string,
): readonly [string, Transport & C] {
  const chosen = chosenTransports(messenger, named === undefined ? [] : [named]);
  const names = chosen.map(([name]) => name);
  // As everywhere: "default" is meant when nothing is said.
  for (const [name, transport] of chosen.toSorted(([a], [b]) => Number(b === "default") - Number(a === "default")))
    if (can(transport)) return [name, transport];
  throw new MessengerError("CAPABILITY_MISSING", `${names.join(", ")} cannot ${what}`, { details: { transports: names } });
}
