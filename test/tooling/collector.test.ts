import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ATTRIBUTES } from "@symphony/core";
import { parse } from "yaml";

type Parts = Readonly<Record<string, unknown>>;

interface Pipeline {
  readonly receivers: readonly string[];
  readonly processors: readonly string[];
  readonly exporters: readonly string[];
}

interface Collector {
  readonly receivers: Parts;
  readonly processors: Parts;
  readonly exporters: Parts;
  readonly service: { readonly pipelines: Readonly<Record<string, Pipeline>> };
}

const KINDS = ["receivers", "processors", "exporters"] as const;

for (const file of ["deploy/collector.yaml", "deploy/collector-kubernetes.yaml"])
  test(`${file} uses all that it defines and nothing else, guards its memory first, and names attributes that spans have`, () => {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    const collector = parse(text) as Collector;
    const pipelines = Object.values(collector.service.pipelines);
    for (const kind of KINDS) {
      const used = new Set(pipelines.flatMap((pipeline) => pipeline[kind]));
      assert.deepEqual([...used].sort(), Object.keys(collector[kind]).sort(), kind);
    }
    for (const { processors } of pipelines) {
      assert.equal(processors[0], "memory_limiter");
      assert.equal(processors.at(-1), "batch");
    }
    const known: ReadonlySet<string> = new Set(Object.values(ATTRIBUTES));
    for (const [name] of text.matchAll(/\b(symphony|messaging)\.[a-z_.]+\b/g)) assert.ok(known.has(name), name);
  });
