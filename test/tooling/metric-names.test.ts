import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { ATTRIBUTES, METRICS, prometheusName } from "@symphony/core";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const files = (...patterns: string[]): string[] => patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).sort();

const DASHBOARDS = files("deploy/grafana/*.json");
const RULES = files("deploy/prometheus/rules/*.yaml", "deploy/prometheus/tests/*.yaml");
const CHART = files("helm/**/*.yaml", "helm/**/*.tpl", "helm/**/*.json");
const PAGES = files("docs/observability.md", "docs/runbooks/*.md");

/** What Prometheus sees of each metric. */
const EMITTED = new Map(
  Object.values(METRICS).map((definition) => {
    const name = prometheusName(definition);
    return [definition.name, definition.kind === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]];
  }),
);
const LABELS = new Set(Object.values(ATTRIBUTES).map((attribute) => attribute.replaceAll(".", "_")));

/** Names of metrics, in Prometheus' spelling, that a text uses. */
function namesIn(text: string): string[] {
  const words = text.match(/\b(?:symphony_(?:queue|worker|message|schedule|store|poll)|messaging_(?:client|process))_[a-z_]+\b/g) ?? [];
  return [...new Set(words)].filter((word) => !LABELS.has(word));
}

describe("metrics", () => {
  it("that a dashboard, rule, chart or page names are emitted", () => {
    const known = new Set([...EMITTED.values()].flat());
    // A histogram may be spoken of as a whole.
    for (const definition of Object.values(METRICS)) known.add(prometheusName(definition));
    const unknown = [...DASHBOARDS, ...RULES, ...CHART, ...PAGES].flatMap((path) =>
      namesIn(read(path))
        .filter((name) => !known.has(name))
        .map((name) => `${path}: ${name}`),
    );
    assert.ok(DASHBOARDS.length >= 4 && RULES.length >= 2 && PAGES.length > 10);
    assert.deepEqual(unknown, []);
  });

  it("that are emitted are on a dashboard, and in the table of the docs", () => {
    const shown = new Set(DASHBOARDS.flatMap((path) => namesIn(read(path))));
    const documented = documentedNames();
    assert.deepEqual(
      [...EMITTED].filter(([, names]) => !names.some((name) => shown.has(name))).map(([name]) => name),
      [],
      "on no dashboard",
    );
    assert.deepEqual(
      [...EMITTED.keys()].filter((name) => !documented.has(name)),
      [],
      "not documented",
    );
    assert.deepEqual(
      [...documented].filter((name) => !EMITTED.has(name)),
      [],
      "documented and not emitted",
    );
  });

  it("that are defined are counted somewhere in what ships", () => {
    const sources = files("packages/*/src/**/*.ts").filter((path) => !/\.test\.ts$|\/testing\/|telemetry\/names\.ts$/.test(path));
    const text = sources.map(read).join("\n");
    assert.deepEqual(
      Object.keys(METRICS).filter((key) => !new RegExp(`\\bMETRICS\\.${key}\\b`).test(text)),
      [],
    );
  });
});

describe("alerts", () => {
  const alerts = [...read("deploy/prometheus/rules/symphony.yaml").matchAll(/- alert: (\w+)[\s\S]*?runbook: (\S+)/g)];
  const pages = files("docs/runbooks/*.md").filter((path) => basename(path) !== "README.md");

  it("have a page each, and every page has its alert", () => {
    assert.ok(alerts.length > 10);
    for (const [, alert, page] of alerts) assert.equal(read(page ?? "").split("\n")[0], `# ${alert}`);
    assert.deepEqual(alerts.map(([, , page]) => page).sort(), pages);
  });

  it("are linked to from dashboards by pages that exist", () => {
    for (const path of DASHBOARDS) {
      const links = [...read(path).matchAll(/\$\{runbooks\}\/([\w-]+\.md)/g)].map(([, page]) => `docs/runbooks/${page}`);
      assert.deepEqual(
        links.filter((page) => !pages.includes(page)),
        [],
        path,
      );
    }
  });
});

describe("dashboards", () => {
  it("have ids of their own, units, and no data source of somebody's machine", () => {
    const uids = new Set<string>();
    for (const path of DASHBOARDS) {
      const dashboard = JSON.parse(read(path)) as {
        uid: string;
        panels: { id: number; type: string; title: string; datasource?: { uid: string }; fieldConfig?: { defaults: { unit?: string } } }[];
      };
      uids.add(dashboard.uid);
      assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length, `${path}: ids of panels`);
      for (const panel of dashboard.panels.filter(({ type }) => type !== "row")) {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana
        assert.equal(panel.datasource?.uid, "${datasource}", `${path}: ${panel.title}`);
        assert.ok(panel.fieldConfig?.defaults.unit, `${path}: ${panel.title} has no unit`);
      }
    }
    assert.equal(uids.size, DASHBOARDS.length);
  });
});

/** From the first column of the table: `a.b.c` and, after it, `.d` for `a.b.d`. */
function documentedNames(): Set<string> {
  const names = new Set<string>();
  for (const line of read("docs/observability.md").split("\n")) {
    const [, first] = /^\| ((?:`[\w.]+` ?)+)\|/.exec(line) ?? [];
    const words = [...(first ?? "").matchAll(/`([\w.]+)`/g)].map(([, word]) => word ?? "");
    const base = words[0]?.slice(0, words[0].lastIndexOf(".")) ?? "";
    for (const word of words) names.add(word.startsWith(".") ? base + word : word);
  }
  return names;
}
