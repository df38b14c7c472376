import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { CHART, type Done, KUBERNETES, run } from "./tools.ts";

/** A rendered object, as far as the checks look at it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

export const CI_FILES: readonly string[] = readdirSync(join(CHART, "ci")).filter((name) => name.endsWith("-values.yaml"));
/** Kinds that a cluster may lack. */
const OPTIONAL_APIS = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1", "autoscaling.k8s.io/v1"];

export interface RenderOptions {
  readonly files?: readonly string[];
  /** More values, as YAML. */
  readonly values?: string;
  readonly set?: readonly string[];
  readonly release?: string;
  readonly apis?: readonly string[];
}

export function template(helm: string, o: RenderOptions): Promise<Done> {
  const files = (o.files ?? []).flatMap((name) => ["-f", join(CHART, "ci", name)]);
  const apis = (o.apis ?? OPTIONAL_APIS).flatMap((api) => ["-a", api]);
  const sets = (o.set ?? []).flatMap((value) => ["--set", value]);
  const more = o.values === undefined ? [] : ["-f", "-"];
  const args = ["template", o.release ?? "r", CHART, "-n", "messages", "--kube-version", KUBERNETES, ...files, ...more, ...apis, ...sets];
  return run(helm, args, o.values === undefined ? {} : { input: o.values });
}

/** @throws {Error} it cannot be rendered; with what Helm said. */
export async function render(helm: string, o: RenderOptions): Promise<{ readonly text: string; readonly objects: readonly Manifest[] }> {
  const { code, out, err } = await template(helm, o);
  if (code !== 0) throw new Error(err);
  return { text: out, objects: parse(out) };
}

const parse = (text: string): readonly Manifest[] =>
  parseAllDocuments(text).flatMap((document) => {
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });

/** @throws {Error} there is none. */
export function specOf<T = Readonly<Record<string, unknown>>>(object: Manifest | undefined): T {
  if (object?.spec === undefined) throw new Error(`${object?.kind ?? "no object"} ${object?.metadata.name ?? ""}: no spec`);
  return object.spec as T;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly securityContext?: {
    readonly allowPrivilegeEscalation?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly privileged?: boolean;
    readonly runAsUser?: number;
    readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  };
  readonly resources?: { readonly requests?: Readonly<Record<string, string>>; readonly limits?: Readonly<Record<string, string>> };
  readonly ports?: readonly { readonly containerPort: number; readonly hostPort?: number }[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: Readonly<Record<string, { name: string }>>;
  }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly livenessProbe?: { readonly httpGet: { readonly path: string } } & Readonly<Record<string, number>>;
  readonly readinessProbe?: { readonly httpGet: { readonly path: string } } & Readonly<Record<string, number>>;
  readonly startupProbe?: { readonly httpGet: { readonly path: string } } & Readonly<Record<string, number>>;
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly (Readonly<Record<string, unknown>> & { readonly name: string })[];
  readonly securityContext?: {
    readonly runAsNonRoot?: boolean;
    readonly runAsUser?: number;
    readonly seccompProfile?: { readonly type: string };
  };
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly enableServiceLinks?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly topologySpreadConstraints?: readonly { readonly whenUnsatisfiable: string }[];
}

export interface Pod {
  readonly of: Manifest;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

interface Template {
  readonly metadata?: Manifest["metadata"];
  readonly spec: PodSpec;
}

/** Every pod that an object makes: workloads, jobs, hooks, tests. */
export function podsOf(objects: readonly Manifest[]): readonly Pod[] {
  return objects.flatMap((object) => {
    const found = templateOf(object);
    if (found === undefined) return [];
    return [{ of: object, labels: found.metadata?.labels ?? {}, annotations: found.metadata?.annotations ?? {}, spec: found.spec }];
  });
}

function templateOf(object: Manifest): Template | undefined {
  if (object.kind === "Pod") return { metadata: object.metadata, spec: object.spec as unknown as PodSpec };
  if (object.kind === "CronJob") return specOf<{ jobTemplate: { spec: { template: Template } } }>(object).jobTemplate.spec.template;
  if (object.kind === "Deployment" || object.kind === "Job") return specOf<{ template: Template }>(object).template;
  return undefined;
}

export const containersOf = (pod: Pod): readonly Container[] => [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
