import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Report } from "../support/report.ts";
import { checkOnApiServer } from "./api-server.ts";
import { BAD_VALUES } from "./bad-values.ts";
import { POLARIS } from "./polaris.ts";
import { POLICIES } from "./policy.ts";
import { CI_FILES, type Manifest, type PodSpec, podsOf, render, specOf, template } from "./render.ts";
import { CannotRunHere, CHART, installTools, KUBERNETES, run, type Tools } from "./tools.ts";

/**
 * Renders the chart with real Helm 3 and 4 for every file in ci/, and holds what comes out against schemas, policies and,
 * where there is one, a real API server.
 *
 *   npm run chart
 *
 * Exit code 77: the tools cannot be had on this machine; the reason is printed.
 */
const SKIPPED = 77;
const SCHEMAS = fileURLToPath(new URL("./schemas", import.meta.url));
/** Checks of kube-score that we do not follow, and why. */
const NOT_FOLLOWED: Readonly<Record<string, string>> = {
  "container-image-pull-policy": "IfNotPresent with a tag that never changes, or a digest: a registry that is away must stop nobody",
  "container-resources": "our own rule V3 asks for all that we set; a CPU limit is the operator's choice, since it throttles",
  "deployment-has-host-podantiaffinity": "topology spread constraints do this, and over zones as well",
  "container-ephemeral-storage-request-equals-limit": "the limit is for outliers",
  "deployment-replicas": "one replica and fewer are the operator's choice",
};
/** The same, for single files. */
const NOT_FOLLOWED_IN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "symphony-autoscaler-values.yaml": { "deployment-has-poddisruptionbudget": "a budget for what may have one pod would block drains" },
  "keda-values.yaml": { "deployment-has-poddisruptionbudget": "a budget for what may have no pod would block drains" },
  "openshift-values.yaml": { "container-security-context-user-group-id": "the namespace chooses the ids" },
};

async function main(): Promise<number> {
  const report = new Report();
  let tools: Tools;
  try {
    tools = await installTools(["helm3", "helm4", "kubeconform", "kubeScore"]);
  } catch (error) {
    if (!(error instanceof CannotRunHere)) throw error;
    process.stdout.write(`SKIPPED: ${error.message}\n`);
    return SKIPPED;
  }
  for (const file of CI_FILES) await checkFile(tools, file, report);
  await checkVariants(tools, report);
  await checkBadValues(tools, report);
  await checkOnApiServer(tools, report);
  process.stdout.write(`${report.passes} passed, ${report.failures} failed\n`);
  return report.failures === 0 ? 0 : 1;
}

async function checkFile(tools: Tools, file: string, report: Report): Promise<void> {
  let objects: readonly Manifest[] = [];
  let text = "";
  await report.step(`${file}: Helm 3 and 4 lint it, and render the same, again and again`, async () => {
    for (const helm of [tools.helm3, tools.helm4]) {
      const linted = await run(helm, ["lint", "--strict", CHART, "-f", `${CHART}/ci/${file}`, "--kube-version", KUBERNETES]);
      assert.equal(linted.code, 0, linted.out + linted.err);
    }
    const first = await render(tools.helm3, { files: [file] });
    assert.equal((await render(tools.helm3, { files: [file] })).text, first.text);
    assert.deepEqual((await render(tools.helm4, { files: [file] })).objects, first.objects);
    ({ objects, text } = first);
    return `${objects.length} objects`;
  });
  await report.step(`${file}: kubeconform, strictly`, () => conform(tools, text));
  await report.step(`${file}: ${Object.keys(POLICIES).length} policies`, () => policies(objects));
  await report.step(`${file}: the rules of polaris`, () => policies(objects, POLARIS));
  await report.step(`${file}: kube-score`, () => score(tools, file, text));
}

async function conform(tools: Tools, text: string): Promise<string> {
  const location = `${SCHEMAS}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;
  // Kinds of other people's operators are checked by the API server, where their definitions are.
  const foreign =
    "ScaledObject,TriggerAuthentication,ServiceMonitor,PodMonitor,PrometheusRule,HTTPRoute,ExternalSecret,VerticalPodAutoscaler";
  const args = ["-strict", "-summary", "-schema-location", location, "-skip", foreign];
  const { code, out, err } = await run(tools.kubeconform, args, { input: text });
  assert.equal(code, 0, out + err);
  return out.trim();
}

async function policies(objects: readonly Manifest[], rules = POLICIES): Promise<undefined> {
  const ours = objects.filter(({ kind }) => kind !== "ExternalSecret");
  const broken = Object.entries(rules).flatMap(([name, check]) => {
    try {
      check(ours);
      return [];
    } catch (error) {
      return [`${name}: ${(error as Error).message}`];
    }
  });
  assert.deepEqual(broken, []);
  return undefined;
}

async function score(tools: Tools, file: string, text: string): Promise<undefined> {
  const ignored = Object.keys({ ...NOT_FOLLOWED, ...NOT_FOLLOWED_IN[file] }).flatMap((check) => ["--ignore-test", check]);
  const { out, err } = await run(tools.kubeScore, ["score", "--output-format", "ci", ...ignored, "-"], { input: text });
  const bad = `${out}${err}`.split("\n").filter((line) => /^\[(CRITICAL|WARNING)\]|panic|Failed/.test(line));
  assert.deepEqual(bad, []);
  return undefined;
}

/** Selectors of all workloads: what may never change between two versions, or no upgrade works. */
const selectors = (objects: readonly Manifest[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(objects.flatMap(({ kind, metadata, spec }) => (kind === "Deployment" ? [[metadata.name, spec?.selector]] : [])));

async function checkVariants(tools: Tools, report: Report): Promise<void> {
  const minimal = ["minimal-values.yaml"];
  await report.step("selectors stay what they were in 0.1.0, whatever else changes", async () => {
    const { objects } = await render(tools.helm3, { files: minimal });
    const label = (name: string): string => `app.kubernetes.io/${name}`;
    const first = { [label("name")]: "symphony-messenger", [label("instance")]: "r", [label("component")]: "worker-default" };
    assert.deepEqual(selectors(objects), { "r-symphony-messenger-worker-default": { matchLabels: first } });
    const set = ["image.tag=9.9.9", "commonLabels.team=a", "workerDefaults.replicas=7", "workerDefaults.podLabels.x=y"];
    assert.deepEqual(selectors((await render(tools.helm3, { files: minimal, set })).objects), selectors(objects));
    return undefined;
  });
  await report.step("the checksum of the configuration changes with it, and with nothing else", async () => {
    const sum = async (values: string): Promise<unknown> => {
      const { objects } = await render(tools.helm3, { files: ["inline-values.yaml"], values });
      const deployment = objects.find(({ kind }) => kind === "Deployment");
      return specOf<{ template: Manifest }>(deployment).template.metadata.annotations?.["checksum/config"];
    };
    assert.equal(await sum("{}"), await sum("image: { tag: other }"));
    assert.notEqual(await sum("{}"), await sum("config: { inline: other }"));
    return undefined;
  });
  await report.step("names that are too long are cut and stay apart", async () => {
    const long = "a-name-of-forty-three-characters-for-helm-ab";
    const pools = `workers: { ${"b".repeat(31)}1: {}, ${"b".repeat(31)}2: {}, default: {} }`;
    const { objects } = await render(tools.helm3, { files: minimal, values: pools, release: long });
    return policies(objects);
  });
  await report.step("a cluster without KEDA, Prometheus, Gateway API and VPA gets none of their kinds", async () => {
    for (const file of CI_FILES.filter((name) => name !== "external-secrets-values.yaml")) {
      const { objects } = await render(tools.helm3, { files: [file], apis: [] });
      for (const { apiVersion } of objects) assert.doesNotMatch(apiVersion, /keda|coreos|gateway|autoscaling\.k8s/);
    }
    return undefined;
  });
  await report.step("NOTES name the connection budget: (3 + 8) × 2 pods", async () => {
    const set = ["--set", "database.existingSecret=x", "--dry-run=client"];
    const { out, err } = await run(tools.helm4, ["install", "r", CHART, ...set]);
    assert.match(out, /Connections to the database, at most: 22\./, err);
    assert.match(out, /kubectl -n \S+ scale deployment\/r-symphony-messenger-worker-default --replicas=3/);
    return undefined;
  });
  await report.step("KEDA's postgresql trigger asks with a role of its own; no token is made", async () => {
    const keda = "{ trigger: postgresql, authenticationRef: reader }";
    const values = `workers: { default: { queues: [a, b], autoscaling: { type: keda, keda: ${keda} } } }`;
    const { objects } = await render(tools.helm3, { files: minimal, values });
    assert.deepEqual(
      objects.filter(({ kind }) => kind === "TriggerAuthentication"),
      [],
    );
    const [trigger] = specOf<{ triggers: { type: string; metadata: { query: string }; authenticationRef: unknown }[] }>(
      objects.find(({ kind }) => kind === "ScaledObject"),
    ).triggers;
    assert.deepEqual([trigger?.type, trigger?.authenticationRef], ["postgresql", { name: "reader" }]);
    assert.match(trigger?.metadata.query ?? "", /FROM symphony\.job .* AND name IN \('a', 'b'\) LIMIT 2000\) AS limited\)$/);
    return undefined;
  });
  await report.step(
    "a share of the memory limit is left to the fleet, which follows the limit; tests and alerts take what they are told",
    async () => {
      const values = `
      workerDefaults: { processes: 2, recycle: { maxMemoryPercent: 90 }, resources: { limits: { memory: 1Gi } } }
      tests: { image: { tag: probe } }
      telemetry: { rules: { enabled: true, overrides: { SymphonyQueueOld: { for: 15m, labels: { severity: info } } } } }`;
      const { objects, text } = await render(tools.helm3, { files: minimal, values });
      const worker = specOf<{ template: { spec: PodSpec } }>(objects.find(({ kind }) => kind === "Deployment")).template.spec;
      const limits = worker.containers[0]?.env?.filter(({ name }) => name.startsWith("SYMPHONY_WORKER_MEMORY")) ?? [];
      assert.deepEqual(limits, [{ name: "SYMPHONY_WORKER_MEMORY_PERCENT", value: "90" }]);
      const images = objects.flatMap((object) => (object.kind === "Pod" ? (object.spec as unknown as PodSpec).containers : []));
      assert.ok(images.length > 0 && images.every(({ image }) => image.endsWith(":probe")));
      assert.match(text, /alert: SymphonyQueueOld[\s\S]{0,900}for: 15m\n\s+labels:\n\s+severity: info/);
      return undefined;
    },
  );
  await report.step("user and password beside an address come from the Secret, as files or as environment", async () => {
    const database = "url: 'postgresql://db:5432/app', secretKeys: { username: u, password: p }, timeouts: { lockMs: 3000 }";
    const of = async (more: string) => {
      const { objects } = await render(tools.helm3, { files: minimal, values: `database: { ${database}${more} }` });
      const pod = podsOf(objects).find(({ of: { kind } }) => kind === "Deployment")?.spec;
      const env = pod?.containers[0]?.env?.filter(({ name }) => name.startsWith("DATABASE") || name.includes("LOCK"));
      return { env: env?.map(({ name, value }) => [name, value]), volumes: pod?.volumes?.map(({ name }) => name) };
    };
    const path = "/etc/symphony/database";
    const url = ["DATABASE_URL", "postgresql://db:5432/app"];
    const lock = ["SYMPHONY_DATABASE_LOCK_TIMEOUT", "3000"];
    const files = [
      ["DATABASE_PASSWORD_FILE", `${path}/password`],
      ["DATABASE_USERNAME_FILE", `${path}/username`],
    ];
    assert.deepEqual(await of(""), { env: [url, ...files, lock], volumes: ["tmp", "database"] });
    const variables = [
      ["DATABASE_PASSWORD", undefined],
      ["DATABASE_USERNAME", undefined],
    ];
    assert.deepEqual(await of(", mountAsFile: false"), { env: [url, ...variables, lock], volumes: ["tmp"] });
    return undefined;
  });
  await report.step("the configuration is checked with what the container after it has, and only when wanted", async () => {
    const deployments = async (check: boolean) => {
      const { objects } = await render(tools.helm3, { files: ["production-values.yaml"], set: [`config.check=${check}`] });
      return podsOf(objects.filter(({ kind }) => kind === "Deployment"));
    };
    for (const { spec } of await deployments(false)) assert.equal(spec.initContainers, undefined);
    for (const { spec, labels } of await deployments(true)) {
      const [check, ...others] = spec.initContainers ?? [];
      const [main] = spec.containers;
      const isApi = labels["app.kubernetes.io/component"] === "api";
      assert.deepEqual([others, check?.args], [[], ["config", "check", "--for", isApi ? "admin" : "consume"]]);
      for (const key of ["image", "env", "volumeMounts", "resources"] as const) assert.deepEqual(check?.[key], main?.[key], key);
    }
    return undefined;
  });
  await report.step("a vertical autoscaler only recommends unless it is told to act, and only for the worker", async () => {
    const values = "workerDefaults: { autoscaling: { vertical: { enabled: true } } }";
    const { objects } = await render(tools.helm3, { files: minimal, values });
    const spec = specOf<{
      updatePolicy: { updateMode: string };
      resourcePolicy: { containerPolicies: { containerName: string; mode?: string }[] };
    }>(objects.find(({ kind }) => kind === "VerticalPodAutoscaler"));
    assert.equal(spec.updatePolicy.updateMode, "Off");
    assert.deepEqual(
      spec.resourcePolicy.containerPolicies.map(({ containerName, mode }) => [containerName, mode]),
      [
        ["worker", undefined],
        ["*", "Off"],
      ],
    );
    return undefined;
  });
  await report.step("workers write Events only when wanted, and then know which pod they are", async () => {
    const of = async (enabled: boolean) => {
      const { objects } = await render(tools.helm3, { files: minimal, set: [`events.enabled=${enabled}`] });
      const pod = podsOf(objects.filter(({ kind }) => kind === "Deployment"))[0]?.spec;
      const env = pod?.containers[0]?.env?.map(({ name }) => name).filter((name) => /EVENTS|POD_UID/.test(name));
      return [
        pod?.automountServiceAccountToken,
        env,
        objects
          .filter(({ kind }) => /^Role/.test(kind))
          .map(({ kind }) => kind)
          .sort(),
      ];
    };
    assert.deepEqual(await of(false), [false, [], []]);
    assert.deepEqual(await of(true), [true, ["SYMPHONY_KUBERNETES_EVENTS", "POD_UID"], ["Role", "RoleBinding"]]);
    return undefined;
  });
  await report.step("every mode of migrations renders", async () => {
    const kinds = async (mode: string) =>
      (await render(tools.helm3, { files: minimal, set: [`migrations.mode=${mode}`] })).objects.filter(({ kind }) => kind === "Job");
    assert.equal((await kinds("none")).length, 0);
    assert.equal((await kinds("job"))[0]?.metadata.name, "r-symphony-messenger-setup-1");
    assert.equal((await kinds("hook"))[0]?.metadata.annotations?.["helm.sh/hook"], "pre-install,pre-upgrade");
    return undefined;
  });
}

async function checkBadValues(tools: Tools, report: Report): Promise<void> {
  assert.ok(BAD_VALUES.length >= 30);
  for (const { mistake, values, where } of BAD_VALUES) {
    await report.step(`refused: ${mistake}`, async () => {
      for (const helm of [tools.helm3, tools.helm4]) {
        const { code, err } = await template(helm, { files: ["minimal-values.yaml"], values });
        assert.notEqual(code, 0, "it was accepted");
        assert.match(err, where);
      }
      return undefined;
    });
  }
}

process.exitCode = await main();
