import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { readValues, renderReadme } from "../chart/readme.ts";
import { CHART, ROOT } from "../chart/tools.ts";

const read = (path: string): string => readFileSync(join(CHART, path), "utf8");
const values = readValues(read("values.yaml"));

interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly definitions?: Readonly<Record<string, Schema>>;
}

const root = JSON.parse(read("values.schema.json")) as Schema;
const resolve = (schema: Schema): Schema => {
  const name = schema.$ref?.replace("#/definitions/", "") ?? schema.allOf?.[0]?.$ref?.replace("#/definitions/", "");
  return name === undefined ? schema : (root.definitions?.[name] ?? {});
};

describe("the chart's values", () => {
  test("have a line of documentation each", () => {
    assert.deepEqual(
      values.filter(({ text }) => text === undefined).map(({ path }) => path),
      [],
    );
    assert.ok(values.length > 100);
  });

  test("are what README.md says: npm run chart:readme", () => {
    assert.equal(read("README.md"), renderReadme());
  });

  test("are known to the schema, which refuses what is not there", () => {
    for (const { path } of values) {
      let schema = root;
      for (const key of path.split(".")) {
        schema = resolve(schema);
        assert.ok(schema.properties?.[key] !== undefined, `${path}: ${key} is not in the schema`);
        if (!path.startsWith("global")) assert.equal(schema.additionalProperties, false, path);
        schema = schema.properties[key];
      }
    }
  });

  test("are all used by a template", () => {
    const templates = readdirSync(join(CHART, "templates"), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(yaml|tpl|txt)$/.test(name))
      .map((name) => read(`templates/${name}`))
      .join("\n");
    const unused = values.filter(({ path }) => !new RegExp(`\\b${path.split(".").at(-1)}\\b`).test(templates)).map(({ path }) => path);
    assert.deepEqual(unused, []);
  });
});

test("Chart.yaml has what charts are judged by", () => {
  const chart = parse(read("Chart.yaml")) as Record<string, unknown> & { annotations: Record<string, string> };
  for (const key of [
    "apiVersion",
    "appVersion",
    "description",
    "home",
    "icon",
    "keywords",
    "kubeVersion",
    "maintainers",
    "sources",
    "type",
  ]) {
    assert.ok(key in chart, key);
  }
  const version = (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version;
  assert.equal(chart.appVersion, version);
  const note = (name: string): unknown => parse(chart.annotations[`artifacthub.io/${name}`] ?? "");
  for (const { kind } of note("changes") as { kind: string }[]) assert.match(kind, /^(added|changed|deprecated|removed|fixed|security)$/);
  assert.deepEqual(
    (note("images") as { image: string }[]).map(({ image }) => image),
    [`symphony/messenger:${version}`],
  );
});

test("the repository on Artifact Hub has owners, and an id only when it has been given one", () => {
  const repository = parse(readFileSync(join(CHART, "../artifacthub-repo.yml"), "utf8")) as {
    repositoryID?: string;
    owners: readonly { name: string; email: string }[];
  };
  for (const key of Object.keys(repository)) assert.ok(["repositoryID", "owners", "ignore"].includes(key), key);
  if (repository.repositoryID !== undefined) assert.match(repository.repositoryID, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  const { maintainers } = parse(read("Chart.yaml")) as { maintainers: readonly { name: string }[] };
  assert.deepEqual(
    repository.owners.map(({ name }) => name),
    maintainers.map(({ name }) => name),
  );
  for (const { email } of repository.owners) assert.match(email, /^[^@\s]+@[^@\s]+\.[a-z]+$/);
});

/** What the telemetry of the repository brings, and the chart ships: made there, copied here. */
const COPIES = [
  { from: "deploy/prometheus/rules", to: "files/rules", ends: ".yaml" },
  { from: "deploy/grafana", to: "files/dashboards", ends: ".json" },
];

test("rules and dashboards are those of deploy/: npm run chart:files", () => {
  for (const { from, to, ends } of COPIES) {
    const list = (directory: string): readonly string[] => {
      try {
        return readdirSync(directory).filter((name) => name.endsWith(ends));
      } catch {
        return [];
      }
    };
    const originals = list(join(ROOT, from));
    assert.deepEqual(list(join(CHART, to)), originals, to);
    for (const name of originals) assert.equal(read(`${to}/${name}`), readFileSync(join(ROOT, from, name), "utf8"), name);
  }
});
