import { pauseSchedule } from "@symphony/core";
import { defineCommand } from "../../command.ts";
import { act, scheduleName } from "./act.ts";

export const resume = defineCommand({
  usage: "resume <name>",
  describe: "End a pause; what was due in between is left out",
  positionals: scheduleName,
  examples: [["symphony schedule resume nightly-report", "the next run is the next due time"]],
  run: (io, flags) =>
    act(io, flags, {
      action: "schedule.resume",
      work: async (messenger, name) => {
        await pauseSchedule(messenger, name, false);
        return { paused: false };
      },
      said: (name) => `resumed the schedule ${name}`,
    }),
});
