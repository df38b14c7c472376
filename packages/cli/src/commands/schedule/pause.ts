import { defineCommand } from "../../command.ts";
import { act, scheduleName } from "./act.ts";

export const pause = defineCommand({
  usage: "pause <name>",
  describe: "Dispatch nothing for this schedule, in the whole fleet, until it is resumed",
  remote: true,
  positionals: scheduleName,
  examples: [["symphony schedule pause nightly-report", "what is due meanwhile is left out"]],
  run: (io, flags) =>
    act(io, flags, {
      work: async (desk, name) => ({ ...(await desk.setPaused(name, true)), paused: true }),
      said: (name) => `paused the schedule ${name}`,
    }),
});
