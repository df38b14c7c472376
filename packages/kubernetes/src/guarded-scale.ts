import { MessengerError } from "@symphony/core";
import { failure } from "./api-client.ts";

/** Runs kubectl with these words; resolves with its standard output. Rejects when it exits with anything but 0. */
export type Kubectl = (words: readonly string[]) => Promise<string>;

export interface GuardedScaleOptions {
  readonly deployment: string;
  readonly namespace?: string;
  readonly context?: string;
  readonly replicas: number;
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly dryRun: boolean;
}

export interface GuardedScaleResult {
  readonly deployment: string;
  readonly namespace: string;
  readonly from: number;
  readonly to: number;
  readonly dryRun: boolean;
}

/** On Deployments that `symphony autoscale` owns. */
const AUTOSCALED = "symphony-messenger/autoscaler";

interface Target {
  readonly kind?: string;
  readonly name?: string;
}

/**
 * Scales a Deployment with kubectl, unless something else owns the number of its replicas, and only from the number that
 * was read: if somebody scales meanwhile, kubectl refuses.
 *
 * @throws {MessengerError} `SCALING_REFUSED` bounds, or an owner: a HorizontalPodAutoscaler, a ScaledObject, our own
 * autoscaler. `KUBERNETES_FAILED` kubectl failed.
 */
export async function scaleGuarded(kubectl: Kubectl, o: GuardedScaleOptions): Promise<GuardedScaleResult> {
  if (o.replicas < o.minReplicas || o.replicas > o.maxReplicas) {
    throw refusal(`${o.replicas} replicas are out of bounds: ${o.minReplicas} to ${o.maxReplicas}`);
  }
  const common = [
    ...(o.context === undefined ? [] : [`--context=${o.context}`]),
    ...(o.namespace === undefined ? [] : [`--namespace=${o.namespace}`]),
  ];
  // Behind `--` nothing is a flag, whatever a name looks like.
  const deployment = (await json(kubectl, [...common, "get", "--output=json", "--", "deployment.apps", o.deployment])) as {
    readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: Readonly<Record<string, string>> };
    readonly spec: { readonly replicas?: number };
  };
  const { name, namespace, annotations } = deployment.metadata;
  await refuseIfOwned(kubectl, common, { name, namespace, annotations: annotations ?? {} });
  const from = deployment.spec.replicas ?? 1;
  const result = { deployment: name, namespace, from, to: o.replicas, dryRun: o.dryRun };
  if (o.dryRun || from === o.replicas) return result;
  await kubectl([
    ...common,
    "scale",
    `--replicas=${o.replicas}`,
    `--current-replicas=${from}`,
    "--output=name",
    "--",
    `deployment.apps/${name}`,
  ]);
  return result;
}

async function refuseIfOwned(
  kubectl: Kubectl,
  common: readonly string[],
  { name, namespace, annotations }: { name: string; namespace: string; annotations: Readonly<Record<string, string>> },
): Promise<void> {
  if (annotations[AUTOSCALED] !== undefined) throw refusal(`${name} is scaled by symphony autoscale (${annotations[AUTOSCALED]})`);
  const { items } = (await json(kubectl, [...common, "get", "--output=json", "horizontalpodautoscalers.autoscaling"])) as List;
  const hpa = items.find(({ spec }) => isTarget(spec.scaleTargetRef, name));
  if (hpa !== undefined) throw refusal(`${name} is scaled by the HorizontalPodAutoscaler ${hpa.metadata.name}: change its bounds instead`);
  // A ScaledObject at zero has no HorizontalPodAutoscaler that would betray it.
  const { groups } = (await json(kubectl, [...withoutNamespace(common), "get", "--raw=/apis"])) as { groups: readonly { name: string }[] };
  if (!groups.some((group) => group.name === "keda.sh")) return;
  const path = `/apis/keda.sh/v1alpha1/namespaces/${encodeURIComponent(namespace)}/scaledobjects`;
  const scaled = (await json(kubectl, [...withoutNamespace(common), "get", `--raw=${path}`])) as List;
  const owner = scaled.items.find(({ spec }) => isTarget(spec.scaleTargetRef, name));
  if (owner !== undefined) throw refusal(`${name} is scaled by the ScaledObject ${owner.metadata.name}: change its bounds instead`);
}

interface List {
  readonly items: readonly { readonly metadata: { readonly name: string }; readonly spec: { readonly scaleTargetRef?: Target } }[];
}

const isTarget = (target: Target | undefined, name: string): boolean =>
  target?.name === name && (target.kind ?? "Deployment") === "Deployment";
const withoutNamespace = (words: readonly string[]): readonly string[] => words.filter((word) => !word.startsWith("--namespace="));

async function json(kubectl: Kubectl, words: readonly string[]): Promise<unknown> {
  const text = await kubectl(words);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw failure(`kubectl ${words.find((word) => !word.startsWith("-"))} printed no JSON`, cause);
  }
}

const refusal = (text: string): MessengerError => new MessengerError("SCALING_REFUSED", text);
