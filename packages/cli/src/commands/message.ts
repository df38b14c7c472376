import { findMessage, type MessageWhereabouts, MessengerError } from "@symphony/core";
import { defineCommand, text } from "../command.ts";
import { oneLine, print } from "../output.ts";
import { openSession, withMessenger } from "../session.ts";

type Found = MessageWhereabouts & { readonly transport: string };

const WHEN: Readonly<Record<Found["state"], string>> = {
  waiting: "since",
  scheduled: "due",
  active: "since",
  failed: "at",
  handled: "at",
  cancelled: "at",
};

function toText({ id, type, transport, queue, priority, state, at, workerId, cancelledBy }: Found): string {
  const who = [...(workerId === null ? [] : [`worker ${workerId}`]), ...(cancelledBy === null ? [] : [`by ${cancelledBy}`])];
  return oneLine(
    `${id} ${type ?? "(undecodable)"} in ${transport}/${queue}, priority ${priority}: ${[state, WHEN[state], at, ...who].join(" ")}`,
    400,
  );
}

export const message = defineCommand({
  usage: "message <id>",
  describe: "Tell where a message is now",
  remote: true,
  options: { transport: text("The transport that has it; default: all are asked") },
  positionals: (yargs) => yargs.positional("id", { type: "string", demandOption: true, describe: "Message id" }),
  examples: [["symphony message 0197b2c4-…", "waiting, scheduled, active and where, failed, cancelled by whom"]],
  async run(io, flags) {
    const id = String(flags.id);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const { transport } = flags;
      const found = await findMessage(messenger, id, transport === undefined ? {} : { transport });
      if (found === undefined) throw new MessengerError("MESSAGE_NOT_FOUND", `no message has the id ${id}, or it was handled`);
      print(io, flags.json === true, found, () => toText(found));
    });
  },
});
