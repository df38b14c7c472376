import type { Messenger } from "@symphony/core";
import { defineCommand, toggle } from "../command.ts";
import { print } from "../output.ts";
import { openSession, withMessenger, withoutAutoSetup } from "../session.ts";

export const setup = defineCommand({
  usage: "setup",
  describe: "Create or migrate what the transports need; idempotent, safe from many places at once",
  options: { "dry-run": toggle("Change nothing, print the statements") },
  examples: [
    ["symphony setup", "create or migrate the schema and the queues"],
    ["symphony setup --dry-run > setup.sql", "for somebody else to run"],
  ],
  async run(io, flags) {
    const dryRun = flags["dry-run"];
    const session = await openSession(io, flags);
    // What others kept it from doing is still missing afterwards.
    const work = async (messenger: Messenger) => {
      const steps = await messenger.setUp({ dryRun });
      return { steps, left: dryRun ? {} : await messenger.setUp({ dryRun: true }) };
    };
    const { steps, left } = await withMessenger(session, work, withoutAutoSetup(session.loaded.config));
    print(io, flags.json === true, { success: true, dryRun, transports: steps }, () => {
      const blocks = Object.entries(steps).map(([name, done]) => {
        if (dryRun) return [`-- ${name}: ${done.length === 0 ? "nothing to do" : ""}`.trimEnd(), ...done].join("\n");
        const lines = [...done.map(firstLine), ...(left[name] ?? []).map((step) => `left out, run this again: ${firstLine(step)}`)];
        return lines.length === 0 ? `${name}: up to date` : [`${name}:`, ...lines.map((line) => `  ${line}`)].join("\n");
      });
      return blocks.join("\n");
    });
  },
});

const firstLine = (step: string): string => (step.trim().split("\n", 1)[0] ?? "").replace(/^--\s*/, "");
