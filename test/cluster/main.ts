import { existsSync } from "node:fs";
import { join } from "node:path";
import { CannotRunHere, installTools, ROOT, run } from "../chart/tools.ts";
import { Engine } from "../container/engine.ts";
import { Report } from "../support/report.ts";
import { Cluster } from "./cluster.ts";
import { runScenario } from "./scenario.ts";

/**
 * Installs the chart on a real cluster and keeps it busy while it is scaled, upgraded, rolled back and has its pods
 * deleted; the checker of the fault tests judges.
 *
 *   npm run cluster [-- --messages 20000]
 *
 * The cluster: that of KUBECONFIG with CLUSTER=1, its node having the image symphony/messenger:test and postgres:17
 * (deploy/kind/up.sh does this); else one that the scripts of CONTAINER_KIT start from the programs in KUBE_BIN, with a
 * second node (second-node.sh) that is drained and lost. Exit code 77: there is none; the reason is printed.
 */
const SKIPPED = 77;
const KIT = process.env.CONTAINER_KIT ?? join(ROOT, "../shared/containers");
const SECOND_NODE = join(ROOT, "test/cluster/second-node.sh");
const IMAGE = "docker.io/symphony/messenger:test";

async function main(): Promise<number> {
  const report = new Report();
  try {
    const tools = await installTools(["helm4"]);
    const cluster = process.env.CLUSTER === "1" ? new Cluster(tools.helm4, process.env.KUBECONFIG) : await startCluster(tools.helm4);
    try {
      await runScenario(cluster, report);
    } finally {
      await cluster.stop();
    }
  } catch (error) {
    if (!(error instanceof CannotRunHere)) throw error;
    process.stdout.write(`SKIPPED: ${error.message}\n`);
    return SKIPPED;
  }
  process.stdout.write(`${report.passes} passed, ${report.failures} failed\n`);
  return report.failures === 0 ? 0 : 1;
}

async function startCluster(helm: string): Promise<Cluster> {
  const programs = process.env.KUBE_BIN ?? "/usr/local/lib/kubernetes";
  const script = join(KIT, "cluster.sh");
  if (!existsSync(join(programs, "kubelet"))) throw new CannotRunHere(`no kubelet in ${programs} (KUBE_BIN), and no CLUSTER=1`);
  if (!existsSync(script) || process.getuid?.() !== 0) throw new CannotRunHere("nothing here starts a cluster (CONTAINER_KIT, and root)");
  const engine = await Engine.find();
  await engine.provide("node:24-bookworm-slim", "node");
  await engine.must(["build", "-t", IMAGE, ROOT], 400_000);
  const directory = process.env.CLUSTER_DIR ?? "/var/tmp/symphony-test-cluster";
  const env = { CLUSTER_DIR: directory, CLUSTER_NETNS: "symphony-test", CLUSTER_NET: "10.223.0" };
  const must = async (program: string, args: readonly string[]): Promise<void> => {
    const { code, err } = await run(program, args, { env, withinMs: 180_000 });
    if (code !== 0) throw new CannotRunHere(`the cluster does not start: ${err.trim().split("\n").at(-1)}`);
  };
  const base = async (kind: string): Promise<string> =>
    (await run(join(KIT, "base-image.sh"), [kind], { env: { ENGINE: "none" }, withinMs: 240_000 })).out.trim();
  const stop = async (): Promise<void> => {
    await run(SECOND_NODE, ["down"], { env, withinMs: 60_000 });
    await run(script, ["down"], { env, withinMs: 60_000 });
  };
  try {
    await run(join(KIT, "install.sh"), ["cluster"], { withinMs: 180_000 });
    await must(script, ["up"]);
    const archive = join(directory, "image.tar");
    await engine.must(["save", "-o", archive, IMAGE], 120_000);
    const postgres = await base("postgres");
    await must(script, ["load", archive, postgres]);
    await must(SECOND_NODE, ["up", archive, postgres, await base("pause")]);
  } catch (error) {
    await stop();
    throw error;
  }
  const fail = () => must(SECOND_NODE, ["stop"]);
  return new Cluster(helm, join(directory, "kubeconfig"), { stop, expendable: { name: "node-2", fail } });
}

process.exitCode = await main();
// Whatever a scenario has left open does not keep the runner.
process.exit();
