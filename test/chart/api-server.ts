import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Report } from "../support/report.ts";
import { fetchDefinitions } from "./definitions.ts";
import { CI_FILES, type Manifest, podsOf, render } from "./render.ts";
import { CannotRunHere, type Done, ROOT, run, type Tools } from "./tools.ts";

/** Scripts that start an API server out of ordinary programs; somebody else's, and not everywhere. */
const KIT = process.env.CONTAINER_KIT ?? join(ROOT, "../shared/containers");
const NAMESPACE = "messages";
/** Kinds of other people's operators, left out where their definitions cannot be had. */
const FOREIGN = /^(keda\.sh|monitoring\.coreos\.com|gateway\.networking\.k8s\.io|autoscaling\.k8s\.io|external-secrets\.io)\//;
/** Examples that are applied as they are. */
const EXAMPLES = ["deploy/keda/scaled-object.yaml", "deploy/gitops/argo-cd.yaml", "deploy/gitops/flux.yaml"];

/**
 * Applies every rendering to a real kube-apiserver whose namespace enforces Pod Security `restricted`: that of KUBECONFIG
 * when CHART_CLUSTER=1 says so, else one that the kit starts from the programs in KUBE_BIN. Says so where there is none.
 */
export async function checkOnApiServer(tools: Tools, report: Report): Promise<void> {
  const server = await findApiServer();
  if (typeof server === "string") {
    process.stdout.write(`NOT RUN: no rendering was applied to an API server: ${server}\n`);
    return;
  }
  try {
    await prepare(server);
    const isComplete = await define(server, report);
    for (const file of CI_FILES) {
      await report.step(`${file}: accepted by ${server.version}, its pods under restricted`, () => apply(tools, server, file, isComplete));
    }
    for (const file of isComplete ? EXAMPLES : []) {
      await report.step(`${file}: accepted by the definitions of KEDA, Argo CD and Flux`, () => applyExample(server, file));
    }
    await report.step("a pod that restricted forbids is refused there", async () => {
      const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "root" }, spec: { containers: [{ name: "a", image: "a" }] } };
      const { code, err } = await server.kubectl(["-n", NAMESPACE, "create", "--dry-run=server", "-f", "-"], JSON.stringify(pod));
      assert.notEqual(code, 0);
      assert.match(err, /violates PodSecurity "restricted/);
      return undefined;
    });
  } finally {
    await server.stop();
  }
}

interface ApiServer {
  readonly version: string;
  /** Somebody else's may have operators, whose definitions are theirs. */
  readonly isOurs: boolean;
  kubectl(args: readonly string[], input?: string): Promise<Done>;
  stop(): Promise<void>;
}

async function findApiServer(): Promise<ApiServer | string> {
  if ((await run("kubectl", ["version", "--client"])).code !== 0) return "there is no kubectl";
  if (process.env.CHART_CLUSTER === "1") {
    return connect({ isOurs: false, env: {} }, async () => void (await run("kubectl", ["delete", "namespace", NAMESPACE, "--wait=false"])));
  }
  const script = join(KIT, "cluster.sh");
  const programs = process.env.KUBE_BIN ?? "/usr/local/lib/kubernetes";
  if (!existsSync(join(programs, "kube-apiserver"))) return `no kube-apiserver in ${programs} (KUBE_BIN)`;
  if (!existsSync(script) || process.getuid?.() !== 0) return "nothing here starts one (CONTAINER_KIT, and root)";
  const env = { CLUSTER_DIR: "/var/tmp/symphony-chart-cluster", CLUSTER_NETNS: "symphony-chart", CLUSTER_NET: "10.213.0" };
  await run(join(KIT, "install.sh"), ["cluster"], { withinMs: 120_000 });
  const started = await run(script, ["api"], { env, withinMs: 120_000 });
  const stop = async (): Promise<void> => void (await run(script, ["down"], { env, withinMs: 60_000 }));
  if (started.code === 0) return connect({ isOurs: true, env: { KUBECONFIG: join(env.CLUSTER_DIR, "kubeconfig") } }, stop);
  await stop();
  return `it did not start: ${started.err.trim().split("\n").at(-1)}`;
}

async function connect(
  { isOurs, env }: { isOurs: boolean; env: NodeJS.ProcessEnv },
  stop: () => Promise<void>,
): Promise<ApiServer | string> {
  const kubectl = (args: readonly string[], input?: string): Promise<Done> =>
    run("kubectl", args, { env, ...(input === undefined ? {} : { input }) });
  const version = /"gitVersion":\s*"([^"]+)"/.exec((await kubectl(["get", "--raw", "/version"])).out)?.[1];
  return version === undefined ? "it does not answer" : { version, isOurs, kubectl, stop };
}

async function prepare(server: ApiServer): Promise<void> {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE, labels } },
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "argocd" } },
    // Made by controllers otherwise, which are not there.
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: NAMESPACE } },
    // What production has: pods that name one are refused without it.
    { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name: "workers" }, value: 1000 },
  ];
  const { code, err } = await server.kubectl(["apply", "-f", "-"], documents(objects));
  assert.equal(code, 0, err);
}

/** Tells the server about the kinds of other people's operators. False: they cannot be had; says why. */
async function define(server: ApiServer, report: Report): Promise<boolean> {
  let paths: readonly string[];
  try {
    if (!server.isOurs) throw new CannotRunHere("it is not ours to define them there");
    paths = await fetchDefinitions();
  } catch (error) {
    if (!(error instanceof CannotRunHere)) throw error;
    process.stdout.write(`NOT RUN: KEDA's, Prometheus's and other people's kinds were left out: ${error.message}\n`);
    return false;
  }
  return report.step("the kinds of KEDA, Prometheus, Gateway API, VPA, External Secrets, Argo CD and Flux are defined", async () => {
    // On the server's side: the definitions are larger than an annotation may be.
    const applied = await server.kubectl(["apply", "--server-side", ...paths.flatMap((path) => ["-f", path])]);
    assert.equal(applied.code, 0, applied.err);
    const ready = await server.kubectl(["wait", "--for=condition=Established", "--timeout=30s", ...paths.flatMap((path) => ["-f", path])]);
    assert.equal(ready.code, 0, ready.err);
    return `${paths.length} kinds`;
  });
}

async function applyExample(server: ApiServer, file: string): Promise<string> {
  const { code, out, err } = await server.kubectl(["apply", "--dry-run=server", "-f", join(ROOT, file)]);
  assert.equal(code, 0, err);
  assert.doesNotMatch(err, /Warning/);
  return `${out.trim().split("\n").length} objects`;
}

/** As a stream of JSON: in YAML, kubectl reads an `Off` without quotes as false. */
const documents = (objects: readonly unknown[]): string => objects.map((object) => JSON.stringify(object)).join("\n");

async function apply(tools: Tools, server: ApiServer, file: string, withForeign: boolean): Promise<string> {
  const { objects } = await render(tools.helm4, { files: [file] });
  const known = objects.filter(({ apiVersion }) => withForeign || !FOREIGN.test(apiVersion));
  // Only pods are refused by Pod Security; the workloads around them are let in.
  const pods = podsOf(known).map(({ labels, spec }, i) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${i}`, namespace: NAMESPACE, labels },
    // A pod of its own has no hash of its template to be spread by.
    spec: { ...spec, restartPolicy: "Never", serviceAccountName: "default", topologySpreadConstraints: [] },
  }));
  const rest = known.filter(({ kind }: Manifest) => kind !== "Pod");
  const { code, out, err } = await server.kubectl(["-n", NAMESPACE, "apply", "--dry-run=server", "-f", "-"], documents([...rest, ...pods]));
  assert.equal(code, 0, err);
  assert.doesNotMatch(err, /Warning/);
  return `${out.trim().split("\n").length} objects, ${pods.length} pods`;
}
