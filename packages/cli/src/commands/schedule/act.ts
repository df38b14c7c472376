import { findSchedule, type Messenger } from "@symphony/core";
import type { Argv } from "yargs";
import { audited } from "../../audited.ts";
import type { Io } from "../../io.ts";
import { print } from "../../output.ts";
import { type GlobalFlags, openSession, withMessenger } from "../../session.ts";

export const scheduleName = (yargs: Argv): Argv =>
  yargs.positional("name", { type: "string", demandOption: true, describe: "Name of the schedule" });

/** Does something to one schedule, with a record of it, and says what was done. */
export async function act(
  io: Io,
  flags: GlobalFlags & Readonly<Record<string, unknown>>,
  o: {
    /** For the record: `schedule.pause`. */
    readonly action: string;
    readonly work: (messenger: Messenger, name: string) => Promise<Readonly<Record<string, unknown>>>;
    readonly said: (name: string, answer: Readonly<Record<string, unknown>>) => string;
  },
): Promise<void> {
  const name = String(flags.name);
  const session = await openSession(io, flags);
  await withMessenger(session, async (messenger) => {
    const { transport } = await findSchedule(messenger, name);
    const answer = await audited(messenger.transport(transport), { action: o.action, target: name, parameters: {} }, async () => ({
      value: await o.work(messenger, name),
      count: 0,
    }));
    print(io, flags.json === true, { success: true, schedule: name, transport, ...answer }, () => o.said(name, answer));
  });
}
