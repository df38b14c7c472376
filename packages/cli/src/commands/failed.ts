import { defineGroup } from "../command.ts";
import { groups } from "./failed/groups.ts";
import { list } from "./failed/list.ts";
import { redrives } from "./failed/redrives.ts";
import { remove } from "./failed/remove.ts";
import { retry } from "./failed/retry.ts";
import { show } from "./failed/show.ts";

export const failed = defineGroup({
  usage: "failed",
  describe: "Messages that were given up on",
  commands: [list, groups, show, retry, remove, redrives],
});
