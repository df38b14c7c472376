import { defineGroup } from "../command.ts";
import { list } from "./schedule/list.ts";
import { pause } from "./schedule/pause.ts";
import { remove } from "./schedule/remove.ts";
import { resume } from "./schedule/resume.ts";
import { run } from "./schedule/run.ts";

export const schedule = defineGroup({
  usage: "schedule",
  describe: "Recurring messages: list, run now, pause, resume",
  commands: [list, run, pause, resume, remove],
});
