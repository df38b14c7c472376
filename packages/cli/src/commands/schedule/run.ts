import { defineCommand } from "../../command.ts";
import { act, scheduleName } from "./act.ts";

export const run = defineCommand({
  usage: "run <name>",
  describe: "Dispatch the message of this schedule now, beside its due times, also while it is paused",
  remote: true,
  positionals: scheduleName,
  examples: [["symphony schedule run nightly-report", "prints the id of the message"]],
  run: (io, flags) =>
    act(io, flags, {
      work: (desk, name) => desk.run(name),
      said: (name, { messageId }) => `${String(messageId)} dispatched by the schedule ${name}`,
    }),
});
