import { defineCommand } from "../../command.ts";
import { act, scheduleName } from "./act.ts";

export const remove = defineCommand({
  usage: "remove <name>",
  describe: "Forget a schedule that no configuration has any more",
  remote: true,
  positionals: scheduleName,
  examples: [["symphony schedule remove old-report", "one that a worker still has comes back"]],
  run: (io, flags) =>
    act(io, flags, {
      work: async (desk, name) => ({ ...(await desk.remove(name)), removed: true }),
      said: (name) => `removed the schedule ${name}`,
    }),
});
