import { defineCommand } from "../../command.ts";
import { act, scheduleName } from "./act.ts";

export const resume = defineCommand({
  usage: "resume <name>",
  describe: "End a pause; what was due in between is left out",
  remote: true,
  positionals: scheduleName,
  examples: [["symphony schedule resume nightly-report", "the next run is the next due time"]],
  run: (io, flags) =>
    act(io, flags, {
      work: async (desk, name) => ({ ...(await desk.setPaused(name, false)), paused: false }),
      said: (name) => `resumed the schedule ${name}`,
    }),
});
