import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { run } from "./tools.ts";

/**
 * Writes the JSON schemas that kubeconform uses, from the OpenAPI document of the API server that kubectl reaches:
 * unknown fields refused, descriptions left out. Run once per Kubernetes version; the result is committed.
 *
 *   node test/chart/vendor-schemas.ts
 */
const KINDS: Readonly<Record<string, string>> = {
  "deployment-apps-v1": "io.k8s.api.apps.v1.Deployment",
  "job-batch-v1": "io.k8s.api.batch.v1.Job",
  "cronjob-batch-v1": "io.k8s.api.batch.v1.CronJob",
  "pod-v1": "io.k8s.api.core.v1.Pod",
  "service-v1": "io.k8s.api.core.v1.Service",
  "serviceaccount-v1": "io.k8s.api.core.v1.ServiceAccount",
  "configmap-v1": "io.k8s.api.core.v1.ConfigMap",
  "poddisruptionbudget-policy-v1": "io.k8s.api.policy.v1.PodDisruptionBudget",
  "horizontalpodautoscaler-autoscaling-v2": "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
  "networkpolicy-networking-v1": "io.k8s.api.networking.v1.NetworkPolicy",
  "ingress-networking-v1": "io.k8s.api.networking.v1.Ingress",
  "role-rbac-v1": "io.k8s.api.rbac.v1.Role",
  "rolebinding-rbac-v1": "io.k8s.api.rbac.v1.RoleBinding",
};
const DEFINITIONS = "_definitions.json";
const DIRECTORY = fileURLToPath(new URL("./schemas/", import.meta.url));

type Schema = Readonly<Record<string, unknown>>;

const document = JSON.parse((await run("kubectl", ["get", "--raw", "/openapi/v2"])).out) as { definitions: Record<string, Schema> };
const kept: Record<string, unknown> = {};

function keep(name: string): void {
  if (name in kept) return;
  kept[name] = null;
  kept[name] = convert(document.definitions[name] ?? {});
}

function convert(schema: Schema): unknown {
  const format = schema.format;
  if (format === "int-or-string") return { type: ["string", "integer"] };
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (["description", "default"].includes(key) || key.startsWith("x-kubernetes")) continue;
    if (key === "$ref") {
      const name = String(value).replace("#/definitions/", "");
      keep(name);
      result.$ref = `#/definitions/${name}`;
    } else if (key === "properties") result.properties = convertAll(value as Record<string, Schema>);
    else if (key === "items" || key === "additionalProperties") result[key] = typeof value === "object" ? convert(value as Schema) : value;
    else result[key] = value;
  }
  // As kubectl does it: a field that is not known is a mistake.
  if (result.properties !== undefined && result.additionalProperties === undefined) result.additionalProperties = false;
  return result;
}

function convertAll(properties: Readonly<Record<string, Schema>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => {
      const own = convert(schema) as Record<string, unknown>;
      // The API server takes null for "not set".
      return [name, typeof own.type === "string" ? { ...own, type: [own.type, "null"] } : own];
    }),
  );
}

// A quantity may be written as a number.
const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";
for (const [file, name] of Object.entries(KINDS)) {
  keep(name);
  writeFileSync(`${DIRECTORY}${file}.json`, `${JSON.stringify({ $ref: `${DEFINITIONS}#/definitions/${name}` })}\n`);
}
kept[QUANTITY] = { type: ["string", "number"] };
writeFileSync(`${DIRECTORY}${DEFINITIONS}`, `${JSON.stringify({ definitions: kept })}\n`);
