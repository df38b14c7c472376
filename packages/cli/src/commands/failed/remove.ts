import { integer } from "@symphony/core";
import { audited } from "../../audited.ts";
import { defineCommand, toggle } from "../../command.ts";
import { confirm } from "../../confirm.ts";
import { CommandFailed } from "../../exit-codes.ts";
import { plural, print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { countOf, take } from "./batches.ts";
import { PACE_OPTIONS, redriveAll, toPace } from "./redrive.ts";
import { assertFound, asUsage, checkSelection, listables, SELECTION_OPTIONS, toFilter } from "./selection.ts";

export const remove = defineCommand({
  usage: "remove [ids..]",
  describe: "Remove failed messages; they can be brought back for seven days (audit undo)",
  remote: true,
  options: { ...SELECTION_OPTIONS, ...PACE_OPTIONS, force: toggle("Do not ask") },
  positionals: (yargs) => yargs.positional("ids", { type: "string", array: true, describe: "Message ids" }),
  examples: [
    ["symphony failed remove 0197b2c4-… --force", "one message, without a question"],
    ["symphony failed remove --all --until 30d --dry-run", "how many are older than a month"],
  ],
  async run(io, flags) {
    const ids = (flags.ids as string[] | undefined) ?? [];
    const pace = toPace(flags);
    checkSelection(ids, flags.all, pace !== undefined);
    const limit = asUsage(integer({ min: 1, default: Number.MAX_SAFE_INTEGER }), flags.limit, "--limit");
    const filter = toFilter(flags, io.clock.now(), ids);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const transports = listables(messenger, flags.transport);
      const matching = await countOf(transports, filter);
      if (ids.length > 0) assertFound(ids, matching.ids);
      const most = Math.min(limit, matching.total);
      const about = most === limit || matching.accuracy === "exact" ? "" : "about ";
      if (flags["dry-run"])
        return print(io, flags.json === true, { dryRun: true, matching: most }, () => `would remove ${about}${plural(most, "message")}`);
      if (most > 0 && !(await confirm(io, `Remove ${plural(most, "failed message")}?`, flags.force)))
        throw new CommandFailed("nothing was changed");
      if (pace !== undefined) {
        const o = { action: "remove", most, filter, pace, detach: flags.detach } as const;
        return await redriveAll(io, messenger, transports, o, flags.json === true);
      }
      const removed: string[] = [];
      // Never more than was confirmed, whatever fails meanwhile.
      for (const [, transport] of transports) {
        const step = (batch: number): Promise<readonly string[]> =>
          audited(transport, { action: "remove", parameters: { ...filter } }, async () => {
            const { removed: gone } = await transport.removeDeadLetters(filter, batch);
            return { value: gone, count: gone.length };
          });
        await take(most - removed.length, step, (gone) => removed.push(...gone));
      }
      print(
        io,
        flags.json === true,
        { success: true, removed: removed.length, ids: removed },
        () => `removed ${plural(removed.length, "message")}`,
      );
    });
  },
});
