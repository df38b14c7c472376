import type { KubernetesApi } from "./api-client.ts";

export interface PodLoad {
  readonly pod: string;
  readonly inFlight: number;
}

const ANNOTATION = "controller.kubernetes.io/pod-deletion-cost";

/**
 * Writes to each pod what deleting it would cost: the messages that it has in flight. Kubernetes takes the cheapest
 * first. Pods whose cost is right are left alone.
 */
export async function updateDeletionCosts(api: KubernetesApi, loads: readonly PodLoad[]): Promise<void> {
  const path = `/api/v1/namespaces/${encodeURIComponent(api.namespace)}/pods`;
  const totals = new Map<string, number>();
  // A pod has a worker per process.
  for (const { pod, inFlight } of loads) totals.set(pod, (totals.get(pod) ?? 0) + inFlight);
  const { items } = (await api.get(`${path}?labelSelector=${encodeURIComponent("app.kubernetes.io/part-of=symphony-messenger")}`)) as {
    items: readonly { readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> } }[];
  };
  for (const { metadata } of items) {
    const cost = totals.get(metadata.name);
    if (cost === undefined || metadata.annotations?.[ANNOTATION] === String(cost)) continue;
    await api.patch(`${path}/${encodeURIComponent(metadata.name)}`, { metadata: { annotations: { [ANNOTATION]: String(cost) } } });
  }
}
