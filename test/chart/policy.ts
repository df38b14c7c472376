import assert from "node:assert/strict";
import { containersOf, type Manifest, type Pod, podsOf, specOf } from "./render.ts";

/** What must hold for every rendering, with the number of the requirement. Each throws where it does not. */
export const POLICIES: Readonly<Record<string, (objects: readonly Manifest[]) => void>> = {
  "S1 every pod fulfils Pod Security restricted": eachPod((pod) => {
    const { securityContext = {}, volumes = [] } = pod.spec;
    assert.equal(securityContext.runAsNonRoot, true);
    assert.notEqual(securityContext.runAsUser, 0);
    assert.equal(securityContext.seccompProfile?.type, "RuntimeDefault");
    const allowed = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for (const volume of volumes)
      assert.ok(
        allowed.some((kind) => kind in volume),
        volume.name,
      );
    for (const container of containersOf(pod)) {
      const own = container.securityContext ?? {};
      assert.equal(own.allowPrivilegeEscalation, false, container.name);
      assert.deepEqual(own.capabilities, { drop: ["ALL"] }, container.name);
      assert.notEqual(own.privileged, true);
      assert.notEqual(own.runAsUser, 0);
    }
  }),
  "S2 root file systems are read-only, and /tmp is bounded": eachPod((pod) => {
    for (const container of containersOf(pod)) {
      assert.equal(container.securityContext?.readOnlyRootFilesystem, true, container.name);
      assert.ok(
        container.volumeMounts?.some(({ mountPath }) => mountPath === "/tmp"),
        container.name,
      );
    }
    const tmp = pod.spec.volumes?.find(({ name }) => name === "tmp");
    assert.ok((tmp?.emptyDir as { sizeLimit?: string } | undefined)?.sizeLimit !== undefined);
  }),
  "S3 no pod gets a token of the API server but the autoscaler, and workers that write Events": (objects) => {
    const roles = ofKind(objects, "Role") as readonly (Manifest & { rules: readonly Rule[] })[];
    const writesEvents = roles.some(({ rules }) => rules.some(({ resources }) => resources.includes("events")));
    for (const pod of podsOf(objects)) {
      const component = pod.labels["app.kubernetes.io/component"] ?? "";
      const mayHaveOne = component === "autoscaler" || (writesEvents && pod.of.kind === "Deployment" && component.startsWith("worker-"));
      assert.equal(pod.spec.automountServiceAccountToken, mayHaveOne, pod.of.metadata.name);
    }
    for (const account of ofKind(objects, "ServiceAccount")) assert.equal(account.automountServiceAccountToken, false);
  },
  "S4 the autoscaler may patch the scale of its own pools, and deletion costs when told to; workers may write Events when told to": (
    objects,
  ) => {
    for (const { rules } of ofKind(objects, "Role") as readonly (Manifest & { rules: readonly Rule[] })[]) {
      for (const { apiGroups, resources, resourceNames, verbs } of rules) {
        assert.ok(![...apiGroups, ...resources, ...verbs].includes("*"));
        if (resources.includes("pods")) assert.deepEqual([apiGroups, resources, verbs], [[""], ["pods"], ["list", "patch"]]);
        else if (resources.includes("events")) assert.deepEqual([apiGroups, resources, verbs], [["events.k8s.io"], ["events"], ["create"]]);
        else {
          assert.deepEqual([apiGroups, resources, verbs], [["apps"], ["deployments/scale"], ["get", "patch"]]);
          assert.ok((resourceNames ?? []).length > 0, "any Deployment");
        }
      }
    }
  },
  "S5 nothing of the node is shared": eachPod((pod) => {
    const { hostNetwork, hostPID, hostIPC } = pod.spec;
    assert.ok(!hostNetwork && !hostPID && !hostIPC);
    for (const { ports = [] } of containersOf(pod)) for (const port of ports) assert.equal(port.hostPort, undefined);
  }),
  "S7 no service is announced in the environment": eachPod((pod) => assert.equal(pod.spec.enableServiceLinks, false)),
  "S9 no secret is in a manifest": (objects) => {
    assert.deepEqual(ofKind(objects, "Secret"), []);
    for (const pod of podsOf(objects)) {
      for (const { env = [] } of containersOf(pod)) {
        for (const { name, value } of env) {
          if (/(URL|TOKEN|SECRET|PASSWORD|HEADERS)$/.test(name) && name !== "SYMPHONY_AUTH_JWKS_URL") assert.equal(value, undefined, name);
        }
      }
    }
  },
  "S11 a network policy denies both ways and names what is allowed": (objects) => {
    const [policy, ...others] = ofKind(objects, "NetworkPolicy").toSorted((a, b) => a.metadata.name.length - b.metadata.name.length);
    // Policies add up: those of the autoscaler, and of workers that write Events, give them the API server and nothing else.
    for (const other of others) {
      assert.match(other.metadata.labels?.["app.kubernetes.io/component"] ?? "", /^(autoscaler$|worker-)/);
      const { egress, ingress } = specOf<{ egress: unknown; ingress: unknown }>(other);
      assert.deepEqual([ingress, egress], [[], [{ ports: [{ port: 443 }, { port: 6443 }] }]]);
    }
    assert.deepEqual(policy?.spec?.policyTypes, ["Ingress", "Egress"]);
    const selector = specOf<{ podSelector: { matchLabels: Record<string, string> } }>(policy).podSelector.matchLabels;
    for (const pod of podsOf(objects)) for (const [key, value] of Object.entries(selector)) assert.equal(pod.labels[key], value);
    for (const rule of specOf<{ egress: { ports?: unknown[]; to?: unknown[] }[] }>(policy).egress)
      assert.ok((rule.ports ?? rule.to ?? []).length > 0);
  },
  "K2, K7, K10 three probes with three meanings, patient enough": eachWorkload((pod) => {
    const [main] = pod.spec.containers;
    const probes = [main?.livenessProbe, main?.readinessProbe, main?.startupProbe];
    assert.deepEqual(
      probes.map((probe) => probe?.httpGet.path),
      ["/livez", "/readyz", "/startupz"],
    );
    for (const probe of probes) assert.ok((probe?.timeoutSeconds ?? 0) >= 3);
    assert.ok((main?.startupProbe?.periodSeconds ?? 0) * (main?.startupProbe?.failureThreshold ?? 0) >= 120);
    assert.equal(main?.livenessProbe?.terminationGracePeriodSeconds, 10);
  }),
  "K11 the grace period covers preStop, the shutdown timeout and five seconds": eachWorkload((pod) => {
    const [main] = pod.spec.containers;
    const timeout = Number(main?.env?.find(({ name }) => name === "SYMPHONY_SHUTDOWN_TIMEOUT")?.value);
    const preStop = main?.lifecycle?.preStop?.sleep?.seconds ?? 0;
    assert.ok((pod.spec.terminationGracePeriodSeconds ?? 0) >= preStop + timeout + 5);
  }),
  "K15 what a container says last is its termination message": eachPod((pod) => {
    for (const container of containersOf(pod)) {
      assert.equal((container as { terminationMessagePolicy?: string }).terminationMessagePolicy, "FallbackToLogsOnError");
    }
  }),
  "O4 who speaks is told by pod, node, namespace and container": eachWorkload((pod) => {
    const [main] = pod.spec.containers;
    const told = main?.env?.find(({ name }) => name === "OTEL_RESOURCE_ATTRIBUTES")?.value ?? "";
    const attributes = new Map(told.split(",").map((pair) => pair.split("=", 2) as [string, string]));
    for (const name of ["service.namespace", "service.version"]) assert.ok(attributes.get(name), name);
    for (const name of ["service.instance.id", "k8s.pod.name"]) assert.equal(attributes.get(name), "$(POD_NAME)");
    assert.equal(attributes.get("k8s.namespace.name"), "messages");
    assert.equal(attributes.get("k8s.node.name"), "$(NODE_NAME)");
    assert.equal(attributes.get("k8s.container.name"), main?.name);
    assert.ok(main?.env?.find(({ name }) => name === "OTEL_SERVICE_NAME")?.value);
  }),
  "V1 a disruption budget for more than one pod, and none for one": (objects) => {
    const budgets = ofKind(objects, "PodDisruptionBudget").map(({ metadata }) => metadata.name);
    for (const { metadata, spec } of ofKind(objects, "Deployment")) {
      if (spec?.replicas === undefined) continue;
      assert.equal(budgets.includes(metadata.name), (spec.replicas as number) > 1, metadata.name);
    }
  },
  "V3 requests and limits, memory alike": eachPod((pod) => {
    for (const { name, resources } of containersOf(pod)) {
      for (const kind of ["cpu", "memory", "ephemeral-storage"]) assert.ok(resources?.requests?.[kind] !== undefined, `${name} ${kind}`);
      assert.equal(resources?.limits?.memory, resources?.requests?.memory, name);
    }
  }),
  "V4 a rollout takes no pod away before its successor is ready": (objects) => {
    for (const object of ofKind(objects, "Deployment")) {
      assert.equal(specOf<{ strategy: { rollingUpdate: { maxUnavailable: unknown } } }>(object).strategy.rollingUpdate.maxUnavailable, 0);
    }
  },
  "V7 selectors hold the three labels that never change, and pods bear them": (objects) => {
    for (const object of ofKind(objects, "Deployment")) {
      const { selector, template } = specOf<{ selector: { matchLabels: Record<string, string> }; template: Manifest }>(object);
      const { matchLabels } = selector;
      assert.deepEqual(
        Object.keys(matchLabels).sort(),
        ["component", "instance", "name"].map((label) => `app.kubernetes.io/${label}`),
      );
      const { labels = {} } = template.metadata;
      for (const [key, value] of Object.entries(matchLabels)) assert.equal(labels[key], value);
    }
    const selectors = ofKind(objects, "Deployment").map(({ spec }) => JSON.stringify(spec?.selector));
    assert.equal(new Set(selectors).size, selectors.length, "two workloads select the same pods");
  },
  "C1, C2 one owner of the number of pods": (objects) => {
    const owners = [...ofKind(objects, "HorizontalPodAutoscaler"), ...ofKind(objects, "ScaledObject")];
    const owned = owners.map((owner) => specOf<{ scaleTargetRef: { name: string } }>(owner).scaleTargetRef.name);
    assert.equal(new Set(owned).size, owned.length);
    for (const { metadata, spec } of ofKind(objects, "Deployment")) {
      if (owned.includes(metadata.name)) assert.ok(!("replicas" in (spec ?? {})), metadata.name);
    }
  },
  "M2 a hook needs nothing that the release brings": (objects) => {
    const isHook = ({ metadata }: Manifest): boolean => metadata.annotations?.["helm.sh/hook"]?.startsWith("pre-") === true;
    const own = new Set(objects.filter((object) => !isHook(object)).map(({ kind, metadata }) => `${kind}/${metadata.name}`));
    for (const pod of podsOf(objects.filter(isHook))) {
      assert.ok(!own.has(`ServiceAccount/${pod.spec.serviceAccountName}`), "ServiceAccount");
      for (const { configMap } of pod.spec.volumes ?? []) {
        assert.ok(!own.has(`ConfigMap/${(configMap as { name: string } | undefined)?.name}`), "ConfigMap");
      }
    }
  },
  "H7 everything is in the namespace": (objects) => {
    for (const { kind, metadata } of objects) {
      assert.ok(!/^Cluster|CustomResourceDefinition|Namespace$/.test(kind), kind);
      assert.equal(metadata.namespace, "messages", metadata.name);
    }
  },
  "H8 names and label values have at most 63 characters, and no two objects share one": (objects) => {
    for (const { metadata } of objects) {
      assert.ok(metadata.name.length <= 63, metadata.name);
      assert.match(metadata.name, /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
      for (const value of Object.values(metadata.labels ?? {})) assert.match(value, /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/);
    }
    const ids = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    assert.equal(new Set(ids).size, ids.length, ids.join(" "));
  },
};

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

function ofKind(objects: readonly Manifest[], kind: string): readonly Manifest[] {
  return objects.filter((object) => object.kind === kind);
}

function eachPod(check: (pod: Pod) => void): (objects: readonly Manifest[]) => void {
  return (objects) => {
    for (const pod of podsOf(objects)) inObject(pod, check);
  };
}

/** What runs all the time, and is asked whether it is well. */
function eachWorkload(check: (pod: Pod) => void): (objects: readonly Manifest[]) => void {
  return (objects) => {
    for (const pod of podsOf(ofKind(objects, "Deployment"))) inObject(pod, check);
  };
}

function inObject(pod: Pod, check: (pod: Pod) => void): void {
  try {
    check(pod);
  } catch (error) {
    throw new Error(`${pod.of.kind} ${pod.of.metadata.name}: ${(error as Error).message}`, { cause: error });
  }
}
