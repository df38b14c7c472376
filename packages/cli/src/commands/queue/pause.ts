import { isPausable } from "@symphony/core";
import { audited, operator } from "../../audited.ts";
import { defineCommand } from "../../command.ts";
import { UsageError } from "../../exit-codes.ts";
import { print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { everywhere } from "./everywhere.ts";
import { describeTarget, maybeQueueName, TARGET_OPTIONS, toTarget, transportThatCan } from "./target.ts";

export const pause = defineCommand({
  usage: "pause [name]",
  describe: "Give no worker of the fleet messages of this queue; dispatching goes on",
  remote: true,
  options: TARGET_OPTIONS,
  positionals: maybeQueueName,
  examples: [
    ["symphony queue pause mails", "what is in flight is finished"],
    ["symphony queue pause mails --type newsletter.send", "the other messages of the queue go on"],
    ["symphony queue pause --type newsletter.send", "this type in every queue"],
  ],
  async run(io, flags) {
    const { name, type, transport: only } = flags;
    if (name === undefined && type === undefined) throw new UsageError("which queue? Or --type for one type in all queues");
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      if (name === undefined && type !== undefined)
        return await everywhere(io, messenger, { action: "pause", type, transport: only, json: flags.json === true });
      const target = toTarget(flags);
      const [transport, source] = transportThatCan(messenger, flags.transport, isPausable, "pause queues");
      const { queue, ...parameters } = target;
      await audited(source, { action: "pause", target: queue, parameters }, async () => {
        await source.pauseQueue(target, operator());
        return { value: null, count: 0 };
      });
      print(io, flags.json === true, { success: true, transport, ...target, paused: true }, () => `paused ${describeTarget(target)}`);
    });
  },
});
