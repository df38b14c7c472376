import { type DeadLetterFilter, integer, isRedrivable, type Messenger } from "@symphony/core";
import { audited } from "../../audited.ts";
import { defineCommand, toggle } from "../../command.ts";
import { confirm } from "../../confirm.ts";
import { CommandFailed } from "../../exit-codes.ts";
import type { Io } from "../../io.ts";
import { plural, print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { countOf, take } from "./batches.ts";
import { CANARY_OPTION, PACE_OPTIONS, redriveAll, toPace } from "./redrive.ts";
import { assertFound, asUsage, checkSelection, listables, SELECTION_OPTIONS, toFilter } from "./selection.ts";
import { summary, type Walkable, walk } from "./walk.ts";

interface Redriven {
  readonly redriven: readonly string[];
  readonly conflicts: readonly string[];
}

async function retryAll(messenger: Messenger, transport: string | undefined, filter: DeadLetterFilter, most: number): Promise<Redriven> {
  const redriven: string[] = [];
  const conflicts = new Set<string>();
  for (const [, listable] of listables(messenger, transport)) {
    const step = async (limit: number): Promise<readonly string[]> => {
      // Conflicts stay where they are and would come up again: they are asked for on top.
      const done = await audited(listable, { action: "retry", parameters: { ...filter } }, async () => {
        const result = await listable.redriveDeadLetters(filter, limit + conflicts.size);
        return { value: result, count: result.redriven.length };
      });
      for (const id of done.conflicts) conflicts.add(id);
      return done.redriven;
    };
    await take(most - redriven.length, step, (ids) => redriven.push(...ids));
  }
  return { redriven, conflicts: [...conflicts] };
}

async function walkThrough(io: Io, transports: readonly Walkable[], o: Parameters<typeof walk>[2]): Promise<void> {
  if (o.total === 0) return io.out("no failed messages\n");
  const walked = await walk(io, transports, o);
  io.out(`${summary(walked)}\n`);
  if (walked.conflicts.length > 0) throw new CommandFailed(`${plural(walked.conflicts.length, "message")} could not be put back`);
}

export const retry = defineCommand({
  usage: "retry [ids..]",
  describe: "Put failed messages back on their own queue, counters at zero; without ids or --all, at a terminal, one by one",
  remote: true,
  options: { ...SELECTION_OPTIONS, ...PACE_OPTIONS, ...CANARY_OPTION, force: toggle("Ask nothing; without ids it means --all") },
  positionals: (yargs) => yargs.positional("ids", { type: "string", array: true, describe: "Message ids" }),
  examples: [
    ["symphony failed retry", "one after the other: retry, delete, skip, quit"],
    ["symphony failed retry 0197b2c4-…", "one message"],
    ["symphony failed retry --all --type image.resize --since 1h --dry-run", "how many it would be"],
    ["symphony failed retry --all --force", "everything, without a question"],
    [
      "symphony failed retry --all --fingerprint 0df1ee08f5d7c5a1 --rate 20/s --canary 5",
      "one bug's messages, slowly, after five that show that it is repaired",
    ],
  ],
  async run(io, flags) {
    const ids = (flags.ids as string[] | undefined) ?? [];
    const asked = toPace(flags);
    // One by one, with somebody who answers; --force asks nobody, and means all, as in Symfony.
    const isWalk = ids.length === 0 && !flags.all && !flags.force && asked === undefined && io.interactive && flags.json !== true;
    if (!isWalk) checkSelection(ids, flags.all || (flags.force && ids.length === 0), asked !== undefined);
    const limit = flags.limit === undefined ? undefined : asUsage(integer({ min: 1 }), flags.limit, "--limit");
    const filter = toFilter(flags, io.clock.now(), ids);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const transports = listables(messenger, flags.transport);
      const matching = await countOf(transports, filter);
      if (ids.length > 0) assertFound(ids, matching.ids);
      const most = Math.min(limit ?? Number.POSITIVE_INFINITY, matching.total);
      const about = most === limit || matching.accuracy === "exact" ? "" : "about ";
      if (flags["dry-run"])
        return print(io, flags.json === true, { dryRun: true, matching: most }, () => `would retry ${about}${plural(most, "message")}`);
      if (isWalk) return await walkThrough(io, transports, { filter, most, total: matching.total });
      const question = `Put ${about}${plural(most, "failed message")} back on ${most === 1 ? "its queue" : "their queues"}?`;
      // Nothing is lost by a retry: a script need not say --force, a person is asked before thousands move.
      const ask = ids.length === 0 && most > 0 && io.interactive;
      if (ask && !(await confirm(io, question, flags.force))) throw new CommandFailed("nothing was changed");
      // An estimate is no limit: a redrive goes on until there are no more, and does not meet again what fails again.
      const pace = asked ?? (about !== "" && transports.every(([, each]) => isRedrivable(each)) ? {} : undefined);
      if (pace !== undefined) {
        const o = { action: "retry", most: limit, filter, pace, detach: flags.detach } as const;
        return await redriveAll(io, messenger, transports, o, flags.json === true);
      }
      const done = await retryAll(messenger, flags.transport, filter, most);
      const conflicted = done.conflicts.length;
      const result = { success: conflicted === 0, retried: done.redriven.length, ...done };
      print(io, flags.json === true, result, () =>
        [
          `retried ${plural(done.redriven.length, "message")}`,
          ...done.conflicts.map((id) => `kept ${id}: its queue has a message with this id or key`),
        ].join("\n"),
      );
      if (conflicted > 0) throw new CommandFailed(`${plural(conflicted, "message")} could not be put back`);
    });
  },
});
