import { isPausable } from "@symphony/core";
import { audited } from "../../audited.ts";
import { defineCommand } from "../../command.ts";
import { print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { describeTarget, queueName, TARGET_OPTIONS, toTarget, transportThatCan } from "./target.ts";

export const resume = defineCommand({
  usage: "resume <name>",
  describe: "End a pause",
  remote: true,
  options: TARGET_OPTIONS,
  positionals: queueName,
  examples: [["symphony queue resume mails", "a type that was paused by itself stays paused"]],
  async run(io, flags) {
    const target = toTarget(flags);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const [transport, source] = transportThatCan(messenger, flags.transport, isPausable, "pause queues");
      const { queue, ...parameters } = target;
      const wasPaused = await audited(source, { action: "resume", target: queue, parameters }, async () => ({
        value: await source.resumeQueue(target),
        count: 0,
      }));
      print(io, flags.json === true, { success: true, transport, ...target, paused: false, wasPaused }, () =>
        wasPaused ? `resumed ${describeTarget(target)}` : `${describeTarget(target)} was not paused`,
      );
    });
  },
});
