import { isPausable } from "@symphony/core";
import { audited } from "../../audited.ts";
import { defineCommand } from "../../command.ts";
import { UsageError } from "../../exit-codes.ts";
import { print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { everywhere } from "./everywhere.ts";
import { describeTarget, maybeQueueName, TARGET_OPTIONS, toTarget, transportThatCan } from "./target.ts";

export const resume = defineCommand({
  usage: "resume [name]",
  describe: "End a pause",
  remote: true,
  options: TARGET_OPTIONS,
  positionals: maybeQueueName,
  examples: [
    ["symphony queue resume mails", "a type that was paused by itself stays paused"],
    ["symphony queue resume --type newsletter.send", "this type in every queue"],
  ],
  async run(io, flags) {
    const { name, type, transport: only } = flags;
    if (name === undefined && type === undefined) throw new UsageError("which queue? Or --type for one type in all queues");
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      if (name === undefined && type !== undefined)
        return await everywhere(io, messenger, { action: "resume", type, transport: only, json: flags.json === true });
      const target = toTarget(flags);
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
