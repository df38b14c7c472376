import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CHART, ROOT } from "./tools.ts";

// npm run chart:files: a chart can only ship what is below it.
for (const [from, to, ends] of [
  ["deploy/prometheus/rules", "files/rules", ".yaml"],
  ["deploy/grafana", "files/dashboards", ".json"],
] as const) {
  rmSync(join(CHART, to), { recursive: true, force: true });
  if (!existsSync(join(ROOT, from))) continue;
  mkdirSync(join(CHART, to), { recursive: true });
  for (const name of readdirSync(join(ROOT, from)).filter((file) => file.endsWith(ends))) {
    copyFileSync(join(ROOT, from, name), join(CHART, to, name));
  }
}
