import { defineGroup } from "../command.ts";
import { pause } from "./queue/pause.ts";
import { purge } from "./queue/purge.ts";
import { resume } from "./queue/resume.ts";

export const queue = defineGroup({
  usage: "queue",
  describe: "Pause, resume or empty a queue, for the whole fleet",
  commands: [pause, resume, purge],
});
