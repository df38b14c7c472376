import assert from "node:assert/strict";
import { waitFor } from "@symphony/core/testing";
import { type Cluster, DEPLOYMENT, NAMESPACE, RELEASE } from "./cluster.ts";

const WITHIN_MS = 60_000;
const WORKERS = ["-l", "app.kubernetes.io/component=worker-default"];
/** A slip of the pen in the configuration; it never gets as far as its transports. */
const SLIP = ["config.check=true", "migrations.mode=none", "config.inline=export default { rooting: 1 };"];

/** Resolves with what `look` finds. @throws {Error} it found nothing in time. */
async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  let found: T | undefined;
  const lookOnce = async (): Promise<boolean> => {
    found = await look();
    return found !== undefined;
  };
  await waitFor(lookOnce, { what, timeoutMs: WITHIN_MS, intervalMs: 500 });
  return found as T;
}

const get = (cluster: Cluster, what: readonly string[], jsonpath: string): Promise<string> =>
  cluster.kubectl(["-n", NAMESPACE, "get", ...what, "-o", `jsonpath=${jsonpath}`]);

/** A new pod whose configuration is wrong does not start, and says why; the old one stays. */
export async function checkConfiguration(cluster: Cluster, chart: string, values: string): Promise<string> {
  await cluster.helm(["upgrade", RELEASE, chart, "-f", values, ...SLIP.flatMap((set) => ["--set", set])]);
  const message = await until("a termination message of the check", async () => {
    const last = "{.items[*].status.initContainerStatuses[*].lastState.terminated.message}";
    const now = "{.items[*].status.initContainerStatuses[*].state.terminated.message}";
    return (await get(cluster, ["pods", ...WORKERS], `${last}${now}`)) || undefined;
  });
  assert.match(message, /^CONFIG_INVALID: .*rooting.*"routing"/);
  assert.equal(await get(cluster, [`deployment/${DEPLOYMENT}`], "{.status.readyReplicas}"), "1", "the old pod went away");
  await cluster.helm(["rollback", RELEASE, "1", "--wait", "--timeout", "180s"]);
  await cluster.scaled(1);
  return message.trim();
}

/** What was told about pods that are gone. */
export async function drainedEvents(cluster: Cluster): Promise<string> {
  const notes = await until("an Event of a fleet that drained", async () => {
    return (await get(cluster, ["events", "--field-selector=reason=Drained"], "{range .items[*]}{.message}\n{end}")) || undefined;
  });
  const lines = notes.split("\n");
  for (const line of lines) assert.match(line, /^the fleet has stopped \(signal\): \d+ attempts since its start, \d+ of them failed$/);
  return `${lines.length} events, the first: ${lines[0]}`;
}

interface PodObject {
  readonly spec: { readonly containers: readonly { name: string; resources: unknown }[] };
}

/** More memory for a pod that runs: nothing is restarted, and its processes have heaps of the new size. */
export async function resizePod(cluster: Cluster): Promise<string> {
  const [name = ""] = await cluster.pods();
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}`;
  const pod = JSON.parse(await cluster.kubectl(["get", "--raw", path])) as PodObject;
  for (const container of pod.spec.containers) {
    const amounts = { memory: "512Mi", "ephemeral-storage": "16Mi" };
    container.resources = {
      requests: { cpu: "50m", ...amounts },
      limits: { ...amounts, "ephemeral-storage": "256Mi" },
    };
  }
  // Older kubectls know no --subresource.
  await cluster.kubectl(["replace", "--raw", `${path}/resize`, "-f", "-"], { input: JSON.stringify(pod) });
  const line = await until("a fleet that has seen its new limits", async () => {
    const log = await cluster.kubectl(["-n", NAMESPACE, "logs", name]);
    return log.split("\n").find((each) => each.includes("the limits of this container have changed"));
  });
  const { limits, thread_heap_mb } = JSON.parse(line) as { limits: string; thread_heap_mb: number };
  assert.match(limits, /512 MB/);
  assert.equal(await get(cluster, ["pod", name], "{.status.containerStatuses[0].restartCount}"), "0");
  return `${limits}, heaps of ${thread_heap_mb} MB`;
}
