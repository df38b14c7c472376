import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const CHART = join(ROOT, "helm/symphony-messenger");
/** Kubernetes that charts are rendered for, and whose schemas are beside this file. */
export const KUBERNETES = "1.34.0";

/** Pinned: what is checked must not change by itself. */
const TOOLS = {
  // Built from source, Helm 3 does not know which Kubernetes it was made for.
  helm3: {
    module: "helm.sh/helm/v3/cmd/helm@v3.19.0",
    binary: "helm",
    ldflags: "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34",
  },
  helm4: { module: "helm.sh/helm/v4/cmd/helm@v4.3.1", binary: "helm", ldflags: "" },
  kubeconform: { module: "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0", binary: "kubeconform", ldflags: "" },
  kubeScore: { module: "github.com/zegl/kube-score/cmd/kube-score@v1.20.0", binary: "kube-score", ldflags: "" },
} as const;

export type Tool = keyof typeof TOOLS;
export type Tools = Readonly<Record<Tool, string>>;

/** This machine cannot do it; the message says why. */
export class CannotRunHere extends Error {}

export interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const INSTALL_WITHIN_MS = 300_000;

/** Runs a program to its end; does not throw when it fails. */
export function run(
  program: string,
  args: readonly string[],
  o: { withinMs?: number; env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<Done> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { ...process.env, ...o.env }, timeout: o.withinMs ?? 60_000, maxBuffer: 64_000_000 };
    const child = execFile(program, args, options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, out, err: error !== null && err === "" ? error.message : err });
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(o.input ?? "");
  });
}

/**
 * Paths of the tools that are asked for, built with `go install` into a directory of their own the first time (CHART_TOOLS, or below the
 * user's cache).
 *
 * @throws {CannotRunHere} there is no Go, or a tool cannot be fetched.
 */
export async function installTools<Name extends Tool>(names: readonly Name[]): Promise<Pick<Tools, Name>> {
  const directory = process.env.CHART_TOOLS ?? join(homedir(), ".cache/symphony-chart-tools");
  const paths = {} as Record<Name, string>;
  for (const name of names) {
    const { module, binary, ldflags } = TOOLS[name];
    const gobin = join(directory, module.replaceAll(/[^A-Za-z0-9.]+/g, "-"));
    paths[name] = join(gobin, binary);
    if (existsSync(paths[name])) continue;
    if ((await run("go", ["version"])).code !== 0) throw new CannotRunHere("helm is built from source, and there is no Go here");
    mkdirSync(gobin, { recursive: true });
    const done = await run("go", ["install", "-ldflags", `-s -w ${ldflags}`, module], {
      env: { GOBIN: gobin },
      withinMs: INSTALL_WITHIN_MS,
    });
    if (done.code !== 0) throw new CannotRunHere(`${module} cannot be had: ${done.err.trim().split("\n").at(-1)}`);
  }
  return paths;
}
