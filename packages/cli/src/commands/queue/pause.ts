import { isPausable } from "@symphony/core";
import { audited, operator } from "../../audited.ts";
import { defineCommand } from "../../command.ts";
import { print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { describeTarget, queueName, TARGET_OPTIONS, toTarget, transportThatCan } from "./target.ts";

export const pause = defineCommand({
  usage: "pause <name>",
  describe: "Give no worker of the fleet messages of this queue; dispatching goes on",
  remote: true,
  options: TARGET_OPTIONS,
  positionals: queueName,
  examples: [
    ["symphony queue pause mails", "what is in flight is finished"],
    ["symphony queue pause mails --type newsletter.send", "the other messages of the queue go on"],
  ],
  async run(io, flags) {
    const target = toTarget(flags);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
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
