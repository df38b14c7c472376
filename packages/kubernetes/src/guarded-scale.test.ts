import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { type GuardedScaleOptions, scaleGuarded } from "./guarded-scale.ts";
import { createKubectl } from "./kubectl.ts";

const OPTIONS: GuardedScaleOptions = {
  deployment: "workers",
  namespace: "prod",
  replicas: 4,
  minReplicas: 0,
  maxReplicas: 10,
  dryRun: false,
};

interface Cluster {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hpas?: readonly unknown[];
  /** Undefined: KEDA is not installed. */
  readonly scaledObjects?: readonly unknown[];
  /** What `kubectl scale` exits with. */
  readonly conflict?: boolean;
}

/** A program in kubectl's place that answers as it would and writes down what it was called with. */
function recordingKubectl(t: TestContext, cluster: Cluster) {
  const directory = mkdtempSync(join(tmpdir(), "symphony-kubectl-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const log = join(directory, "calls");
  const program = join(directory, "kubectl");
  writeFileSync(log, "");
  writeFileSync(
    program,
    `#!${process.execPath}
const { appendFileSync } = require("node:fs");
const cluster = ${JSON.stringify(cluster)};
const words = process.argv.slice(2);
appendFileSync(${JSON.stringify(log)}, JSON.stringify(words) + "\\n");
const say = (value) => console.log(JSON.stringify(value));
if (words.includes("scale")) {
  if (cluster.conflict) { console.error("error: Expected replicas to be 2, was 3"); process.exit(1); }
} else if (words.includes("--raw=/apis")) say({ groups: [{ name: "apps" }, ...(cluster.scaledObjects ? [{ name: "keda.sh" }] : [])] });
else if (words.some((word) => word.startsWith("--raw="))) say({ items: cluster.scaledObjects });
else if (words.includes("horizontalpodautoscalers.autoscaling")) say({ items: cluster.hpas ?? [] });
else say({ metadata: { name: words.at(-1), namespace: "prod", annotations: cluster.annotations }, spec: { replicas: 2 } });
`,
  );
  chmodSync(program, 0o755);
  const calls = (): string[][] =>
    readFileSync(log, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as string[]);
  return { kubectl: createKubectl(program), calls, scaled: () => calls().filter((words) => words.includes("scale")) };
}

const owner = (name: string, target: string, kind?: string) => ({
  metadata: { name },
  spec: { scaleTargetRef: { name: target, ...(kind === undefined ? {} : { kind }) } },
});

describe("scaleGuarded", () => {
  test("scales from the number that it has read, and says both", async (t) => {
    const { kubectl, scaled } = recordingKubectl(t, {});
    const result = await scaleGuarded(kubectl, OPTIONS);
    assert.deepEqual(result, { deployment: "workers", namespace: "prod", from: 2, to: 4, dryRun: false });
    assert.deepEqual(scaled(), [
      ["--namespace=prod", "scale", "--replicas=4", "--current-replicas=2", "--output=name", "--", "deployment.apps/workers"],
    ]);
  });

  test("changes nothing in a dry run, nor when the number is right already", async (t) => {
    const { kubectl, scaled } = recordingKubectl(t, {});
    assert.equal((await scaleGuarded(kubectl, { ...OPTIONS, dryRun: true })).to, 4);
    await scaleGuarded(kubectl, { ...OPTIONS, replicas: 2 });
    assert.deepEqual(scaled(), []);
  });

  test("refuses when something else owns the number", async (t) => {
    const owned: readonly (readonly [Cluster, RegExp])[] = [
      [{ hpas: [owner("other", "api", "Deployment"), owner("mine", "workers", "Deployment")] }, /HorizontalPodAutoscaler mine/],
      [{ scaledObjects: [owner("keda", "workers")] }, /ScaledObject keda/],
      [{ annotations: { "symphony-messenger/autoscaler": "release" } }, /symphony autoscale/],
    ];
    for (const [cluster, message] of owned) {
      const { kubectl, scaled } = recordingKubectl(t, cluster);
      await assert.rejects(scaleGuarded(kubectl, OPTIONS), { code: "SCALING_REFUSED", message });
      assert.deepEqual(scaled(), []);
    }
  });

  test("is not kept from it by autoscalers of others", async (t) => {
    const others = {
      hpas: [owner("a", "workers", "StatefulSet"), owner("b", "workers-2", "Deployment")],
      scaledObjects: [owner("c", "api")],
    };
    const { kubectl, scaled } = recordingKubectl(t, others);
    await scaleGuarded(kubectl, OPTIONS);
    assert.equal(scaled().length, 1);
  });

  test("refuses what is out of bounds before it asks anybody", async (t) => {
    const { kubectl, calls } = recordingKubectl(t, {});
    await assert.rejects(scaleGuarded(kubectl, { ...OPTIONS, replicas: 11 }), { code: "SCALING_REFUSED" });
    await assert.rejects(scaleGuarded(kubectl, { ...OPTIONS, replicas: 1, minReplicas: 2 }), { code: "SCALING_REFUSED" });
    assert.deepEqual(calls(), []);
  });

  test("passes hostile names as they are, and never as flags", async (t) => {
    for (const deployment of ["--all", "$(reboot)", "a; rm -rf /", "-o=yaml", "a b", "'"]) {
      const { kubectl, calls } = recordingKubectl(t, {});
      await scaleGuarded(kubectl, { ...OPTIONS, deployment });
      const [first] = calls();
      assert.deepEqual(first?.slice(-3), ["--", "deployment.apps", deployment]);
    }
  });

  test("says what kubectl said when somebody else was faster, and when there is no kubectl", async (t) => {
    const { kubectl } = recordingKubectl(t, { conflict: true });
    await assert.rejects(scaleGuarded(kubectl, OPTIONS), { code: "KUBERNETES_FAILED", message: /Expected replicas to be 2/ });
    await assert.rejects(scaleGuarded(createKubectl("/no/such/kubectl"), OPTIONS), { code: "KUBERNETES_FAILED", message: /ENOENT/ });
  });
});
