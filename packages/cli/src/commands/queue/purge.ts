import { integer, isPurgeable } from "@symphony/core";
import { audited } from "../../audited.ts";
import { defineCommand, text, toggle } from "../../command.ts";
import { confirm } from "../../confirm.ts";
import { CommandFailed } from "../../exit-codes.ts";
import { plural, print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { asUsage } from "../failed/selection.ts";
import { describeTarget, queueName, TARGET_OPTIONS, toTarget, transportThatCan } from "./target.ts";

export const purge = defineCommand({
  usage: "purge <name>",
  describe: "Delete the waiting messages of a queue, not those in flight, and no failed ones; audit undo brings them back for seven days",
  remote: true,
  options: {
    ...TARGET_OPTIONS,
    expect: text("Only if exactly so many messages wait"),
    force: toggle("Do not ask"),
    "dry-run": toggle("Change nothing, say how many wait"),
  },
  positionals: queueName,
  examples: [
    ["symphony queue purge mails --dry-run", "how many there are"],
    ["symphony queue purge mails --expect 120 --force", "for scripts: these, or none"],
  ],
  async run(io, flags) {
    const target = toTarget(flags);
    const expected = flags.expect === undefined ? undefined : asUsage(integer({ min: 0 }), flags.expect, "--expect");
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const [transport, source] = transportThatCan(messenger, flags.transport, isPurgeable, "purge queues");
      const waiting = await source.countPurgeable(target);
      if (flags["dry-run"])
        return print(
          io,
          flags.json === true,
          { dryRun: true, waiting },
          () => `would delete ${plural(waiting, "message")} of ${describeTarget(target)}`,
        );
      const wanted = expected ?? waiting;
      if (
        wanted === waiting &&
        waiting > 0 &&
        !(await confirm(io, `Delete ${plural(waiting, "waiting message")} of ${describeTarget(target)}?`, flags.force))
      )
        throw new CommandFailed("nothing was changed");
      // What was confirmed, or nothing: others may have sent or taken messages meanwhile.
      const { queue, ...only } = target;
      const options = { ...only, expectedCount: wanted };
      const removed = await audited(source, { action: "purge", target: queue, parameters: options }, async () => {
        const { removed: count } = await source.purgeQueue(queue, options);
        return { value: count, count };
      });
      print(
        io,
        flags.json === true,
        { success: true, transport, ...target, removed },
        () => `deleted ${plural(removed, "message")} of ${describeTarget(target)}`,
      );
    });
  },
});
