import { integer } from "@symphony/core";
import { createKubectl, scaleGuarded } from "@symphony/kubernetes";
import { defineCommand, text, toggle } from "../command.ts";
import { print } from "../output.ts";
import { asUsage } from "./failed/selection.ts";

const MOST = 1_000;
const count = integer({ min: 0, max: MOST });

export const scale = defineCommand({
  usage: "scale <deployment>",
  describe: "Scale a worker pool on Kubernetes with kubectl, unless an autoscaler owns it",
  options: {
    replicas: { ...text("Pods"), demandOption: true },
    namespace: text("Namespace (kubectl's own)"),
    context: text("Context of the kubeconfig (kubectl's own)"),
    min: text("Refuse fewer (0)"),
    max: text(`Refuse more (${MOST})`),
    kubectl: text("The program (kubectl)"),
    "dry-run": toggle("Check everything, change nothing"),
  },
  positionals: (yargs) => yargs.positional("deployment", { type: "string", demandOption: true, describe: "Name of the Deployment" }),
  examples: [
    ["symphony scale messenger-symphony-messenger-worker-default --replicas 4 --dry-run", "what would happen"],
    ["symphony scale messenger-symphony-messenger-worker-images --replicas 0 -n prod", "drain the pool"],
  ],
  async run(io, flags) {
    const { deployment } = flags as unknown as { deployment: string };
    const result = await scaleGuarded(createKubectl(flags.kubectl ?? "kubectl", { ...io.environment }), {
      deployment,
      replicas: asUsage(count, flags.replicas, "--replicas"),
      minReplicas: asUsage(count, flags.min ?? "0", "--min"),
      maxReplicas: asUsage(count, flags.max ?? String(MOST), "--max"),
      dryRun: flags["dry-run"],
      ...(flags.namespace === undefined ? {} : { namespace: flags.namespace }),
      ...(flags.context === undefined ? {} : { context: flags.context }),
    });
    const { namespace, from, to, dryRun } = result;
    const change = from === to ? `has ${to} already` : `${dryRun ? "would be scaled" : "scaled"} from ${from} to ${to}`;
    print(io, flags.json === true, { success: true, ...result }, () => `${namespace}/${result.deployment} ${change}`);
  },
});
