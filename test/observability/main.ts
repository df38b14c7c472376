import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { validateConfigurations } from "./configs.ts";
import { dashboards } from "./dashboards.ts";
import { drawPanel } from "./picture.ts";
import { scrapeFleet } from "./scrape.ts";
import { sloFiles } from "./slo-cases.ts";

const root = join(import.meta.dirname, "../..");
const USAGE = `npm run observability -- [options]
  Checks the alerts with promtool, the configurations in deploy/ with the programs they are for, and a real Prometheus that scrapes a real fleet: its sums against what handlers wrote
  down, after kills and replacements, and every query of every dashboard. Needs prometheus and promtool on the PATH
  (Debian: apt-get install prometheus).
  --rules-only     promtool only
  --pictures DIR   draws what each panel's queries gave, as SVG`;

function promtool(...args: string[]): void {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { cwd: root, encoding: "utf8" });
  if (error !== undefined) throw new Error(`promtool cannot be run (Debian: apt-get install prometheus): ${error.message}`);
  console.log(`promtool ${args.join(" ")}\n${stdout.trim()}`);
  if (status !== 0) throw new Error(`promtool ${args.join(" ")} failed:\n${stdout}${stderr}`);
}

function checkRules(): void {
  for (const directory of ["deploy/prometheus/rules", "deploy/prometheus/tests"]) {
    for (const file of readdirSync(join(root, directory)).filter((name) => name.endsWith(".yaml"))) {
      const path = `${directory}/${file}`;
      if (directory.endsWith("tests")) promtool("test", "rules", path);
      else promtool("check", "rules", path);
    }
  }
  const slo = sloFiles();
  promtool("check", "rules", slo.rules);
  promtool("test", "rules", slo.cases);
  slo.remove();
  const rules = readFileSync(join(root, "deploy/prometheus/rules/symphony.yaml"), "utf8");
  const cases = readFileSync(join(root, "deploy/prometheus/tests/symphony.yaml"), "utf8");
  for (const [, alert] of rules.matchAll(/- alert: (\w+)/g)) {
    const own = cases.split("alert_rule_test:").filter((text) => new RegExp(`alertname: ${alert}\\b`).test(text.slice(0, 200)));
    const fires = own.filter((text) => !/exp_alerts: \[\]/.test(text.slice(0, 200)));
    if (fires.length === 0 || fires.length === own.length) throw new Error(`${alert} needs a case that fires and one that is quiet`);
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      "rules-only": { type: "boolean", default: false },
      pictures: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  for (const line of validateConfigurations()) console.log(line);
  checkRules();
  if (values["rules-only"]) return 0;
  const queries = dashboards(join(root, "deploy/grafana"));
  const { answers, lines } = await scrapeFleet(queries);
  for (const line of lines) console.log(line);
  const silent = answers
    .filter(({ series }) => series.length === 0)
    .map(({ query }) => `${query.dashboard}: ${query.panel}: ${query.expr}`);
  console.log(`${queries.length} queries of dashboards answered, ${silent.length} of them with nothing:\n  ${silent.join("\n  ")}`);
  if (values.pictures !== undefined) {
    const directory = values.pictures;
    mkdirSync(directory, { recursive: true });
    for (const [uid, some] of Map.groupBy(answers, ({ query }) => query.uid)) writeFileSync(join(directory, `${uid}.svg`), drawPanel(some));
  }
  return 0;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  return 1;
});
