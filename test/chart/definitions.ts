import { join } from "node:path";
import { CannotRunHere, run } from "./tools.ts";

/**
 * The kinds of other people's operators that the chart and deploy/ write: what an API server needs to check them by their
 * own schemas. Pinned, and taken from the operators' Go modules as the other tools are.
 */
const DEFINITIONS: Readonly<Record<string, readonly string[]>> = {
  "github.com/kedacore/keda/v2@v2.20.2": [
    "config/crd/bases/keda.sh_scaledobjects.yaml",
    "config/crd/bases/keda.sh_triggerauthentications.yaml",
  ],
  "github.com/prometheus-operator/prometheus-operator@v0.85.0": ["podmonitors", "prometheusrules", "servicemonitors"].map(
    (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
  ),
  "sigs.k8s.io/gateway-api@v1.4.0": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
  "k8s.io/autoscaler/vertical-pod-autoscaler@v1.5.1": ["deploy/vpa-v1-crd-gen.yaml"],
  "github.com/external-secrets/external-secrets@v0.20.4": ["config/crds/bases/external-secrets.io_externalsecrets.yaml"],
  "github.com/argoproj/argo-cd/v3@v3.2.0": ["manifests/crds/application-crd.yaml"],
  "github.com/fluxcd/helm-controller@v1.4.3": ["config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml"],
  "github.com/fluxcd/source-controller@v1.7.3": ["config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml"],
};

const DOWNLOAD_WITHIN_MS = 120_000;

/**
 * Paths of the definitions.
 *
 * @throws {CannotRunHere} there is no Go, or a module cannot be fetched.
 */
export async function fetchDefinitions(): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const [module, files] of Object.entries(DEFINITIONS)) {
    const { code, out, err } = await run("go", ["mod", "download", "-json", module], { withinMs: DOWNLOAD_WITHIN_MS });
    if (code !== 0) throw new CannotRunHere(`${module} cannot be had: ${(err || out).trim().split("\n").at(-1)}`);
    const { Dir } = JSON.parse(out) as { Dir: string };
    paths.push(...files.map((file) => join(Dir, file)));
  }
  return paths;
}
