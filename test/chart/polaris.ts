import assert from "node:assert/strict";
import { containersOf, type Manifest, podsOf, specOf } from "./render.ts";

/**
 * The rules of polaris, by its own names; the program itself is not needed. Not followed, and why:
 *
 * - `pullPolicyNotAlways`: a tag that never changes, or a digest; a registry that is away must stop nobody.
 * - `cpuLimitsMissing`: the operator's choice, since a limit throttles.
 * - `priorityClassNotSet`: a class has to exist in the cluster; `priorityClassName` sets it.
 * - `deploymentMissingReplicas`: fewer are the operator's choice.
 * - `tlsSettingsMissing`: an ingress may have its TLS from its controller; `api.ingress.tls` sets it.
 * - `automountServiceAccountToken` of the autoscaler, which talks to the API server, and of workers that write Events there.
 */
export const POLARIS: Readonly<Record<string, (objects: readonly Manifest[]) => void>> = {
  ...each("hostIPCSet, hostPIDSet, hostNetworkSet, hostProcess", ({ spec }) => {
    const { hostIPC, hostPID, hostNetwork } = spec;
    assert.deepEqual([hostIPC ?? false, hostPID ?? false, hostNetwork ?? false], [false, false, false]);
    assert.ok(!JSON.stringify(spec).includes('"hostProcess":true'));
  }),
  ...each("hostPathSet", ({ spec }) => assert.ok((spec.volumes ?? []).every((volume) => !("hostPath" in volume)))),
  ...each("hostPortSet, procMount", (pod) => {
    for (const container of containersOf(pod)) {
      assert.ok((container.ports ?? []).every(({ hostPort }) => hostPort === undefined));
      assert.ok(!("procMount" in (container.securityContext ?? {})));
    }
  }),
  ...each("dangerousCapabilities, insecureCapabilities, linuxHardening", (pod) => {
    for (const { name, securityContext } of containersOf(pod)) {
      assert.deepEqual(securityContext?.capabilities, { drop: ["ALL"] }, name);
      assert.equal(pod.spec.securityContext?.seccompProfile?.type, "RuntimeDefault");
    }
  }),
  ...each("notReadOnlyRootFilesystem, privilegeEscalationAllowed, runAsRootAllowed, runAsPrivileged", (pod) => {
    assert.equal(pod.spec.securityContext?.runAsNonRoot, true);
    for (const { name, securityContext } of containersOf(pod)) {
      assert.equal(securityContext?.readOnlyRootFilesystem, true, name);
      assert.equal(securityContext?.allowPrivilegeEscalation, false, name);
      assert.ok(securityContext?.privileged !== true && securityContext?.runAsUser !== 0, name);
    }
  }),
  ...each("automountServiceAccountToken", ({ labels, spec }) => {
    const writesEvents = spec.containers.some(({ env }) => env?.some(({ name }) => name === "SYMPHONY_KUBERNETES_EVENTS"));
    if (labels["app.kubernetes.io/component"] !== "autoscaler" && !writesEvents) assert.equal(spec.automountServiceAccountToken, false);
  }),
  ...each("sensitiveContainerEnvVar", (pod) => {
    for (const { env = [] } of containersOf(pod)) {
      for (const { name, value = "" } of env) {
        assert.doesNotMatch(value, /postgres(ql)?:\/\/|-----BEGIN|^(sk|ghp|xox)[-_]/, name);
        if (/secret|token|password|private_key/i.test(name) && !name.endsWith("_FILE")) assert.equal(value, "", name);
      }
    }
  }),
  sensitiveConfigmapContent: (objects) => {
    for (const { kind, metadata, data } of objects) {
      if (kind !== "ConfigMap") continue;
      assert.doesNotMatch(JSON.stringify(data), /postgres(ql)?:\/\/\w+:\w+@|-----BEGIN|AKIA[A-Z0-9]{16}/, metadata.name);
    }
  },
  "roleCanExec, roleCanReadSecrets, clusterRole, clusterRoleBinding, roleBindingClusterAdmin": (objects) => {
    for (const { kind, rules, roleRef } of objects as readonly (Manifest & { rules?: unknown; roleRef?: { kind: string } })[]) {
      assert.ok(!kind.startsWith("ClusterRole"), kind);
      if (kind === "Role") assert.doesNotMatch(JSON.stringify(rules), /pods\/exec|pods\/attach|secrets|"\*"|escalate|impersonate/);
      if (kind === "RoleBinding") assert.equal(roleRef?.kind, "Role");
    }
  },
  missingNetworkPolicy: (objects) => {
    for (const { labels } of podsOf(objects)) {
      const selects = objects
        .filter(({ kind }) => kind === "NetworkPolicy")
        .map((policy) => specOf<Selecting>(policy).podSelector.matchLabels);
      assert.ok(
        selects.some((wanted) => Object.entries(wanted).every(([key, value]) => labels[key] === value)),
        JSON.stringify(labels),
      );
    }
  },
  ...each("tagNotSpecified", (pod) => {
    for (const { image } of containersOf(pod)) assert.match(image, /@sha256:[0-9a-f]{64}$|:(?!latest$)[\w.-]+$/);
  }),
  ...each("readinessProbeMissing, livenessProbeMissing", ({ of, spec }) => {
    if (of.kind === "Deployment") for (const probe of ["readinessProbe", "livenessProbe"] as const) assert.ok(spec.containers[0]?.[probe]);
  }),
  ...each("topologySpreadConstraint", ({ of, labels, spec }) => {
    if (of.kind !== "Deployment" || labels["app.kubernetes.io/component"] === "autoscaler") return;
    assert.ok((spec.topologySpreadConstraints ?? []).length > 0);
  }),
  ...each("cpuRequestsMissing, memoryRequestsMissing, memoryLimitsMissing", (pod) => {
    for (const { name, resources } of containersOf(pod))
      assert.ok(resources?.requests?.cpu && resources.requests.memory && resources.limits?.memory, name);
  }),
  metadataAndInstanceMismatched: (objects) => {
    for (const { metadata } of objects) assert.equal(metadata.labels?.["app.kubernetes.io/instance"], "r", metadata.name);
  },
  "hpaMaxAvailability, hpaMinAvailability": (objects) => {
    for (const object of objects.filter(({ kind }) => kind === "HorizontalPodAutoscaler")) {
      const { minReplicas, maxReplicas } = specOf<{ minReplicas: number; maxReplicas: number }>(object);
      assert.ok(maxReplicas > minReplicas && minReplicas > 1, object.metadata.name);
    }
  },
  "pdbDisruptionsIsZero, missingPodDisruptionBudget, pdbMinAvailableGreaterThanHPAMinReplicas": (objects) => {
    const budgets = objects.filter(({ kind }) => kind === "PodDisruptionBudget");
    for (const budget of budgets) {
      const { maxUnavailable, minAvailable } = specOf<{ maxUnavailable?: number | string; minAvailable?: number | string }>(budget);
      assert.ok(minAvailable !== undefined || (maxUnavailable !== 0 && maxUnavailable !== "0%"), budget.metadata.name);
      const scaled = objects.find(({ kind, metadata }) => kind === "HorizontalPodAutoscaler" && metadata.name === budget.metadata.name);
      if (scaled === undefined || typeof minAvailable !== "number") continue;
      assert.ok(minAvailable < specOf<{ minReplicas: number }>(scaled).minReplicas, budget.metadata.name);
    }
    for (const { metadata, spec } of objects.filter(({ kind }) => kind === "Deployment")) {
      if (Number(spec?.replicas ?? 1) <= 1) continue;
      assert.ok(
        budgets.some((budget) => budget.metadata.name === metadata.name),
        metadata.name,
      );
    }
  },
};

interface Selecting {
  readonly podSelector: { readonly matchLabels: Readonly<Record<string, string>> };
}

type Pods = ReturnType<typeof podsOf>;

function each(rules: string, check: (pod: Pods[number]) => void): Record<string, (objects: readonly Manifest[]) => void> {
  return { [rules]: (objects) => podsOf(objects).forEach(check) };
}
