import type { Argv } from "yargs";
import type { Io } from "../../io.ts";
import { print } from "../../output.ts";
import { type ScheduleDesk, scheduleDeskOf } from "../../schedule-desk.ts";
import { type GlobalFlags, openSession, withMessenger } from "../../session.ts";

export const scheduleName = (yargs: Argv): Argv =>
  yargs.positional("name", { type: "string", demandOption: true, describe: "Name of the schedule" });

/** Does something to one schedule and says what was done. */
export async function act(
  io: Io,
  flags: GlobalFlags & Readonly<Record<string, unknown>>,
  o: {
    readonly work: (desk: ScheduleDesk, name: string) => Promise<{ readonly transport: string } & Readonly<Record<string, unknown>>>;
    readonly said: (name: string, answer: Readonly<Record<string, unknown>>) => string;
  },
): Promise<void> {
  const name = String(flags.name);
  const session = await openSession(io, flags);
  await withMessenger(session, async (messenger) => {
    const { transport, ...answer } = await o.work(scheduleDeskOf(messenger), name);
    print(io, flags.json === true, { success: true, schedule: name, transport, ...answer }, () => o.said(name, answer));
  });
}
