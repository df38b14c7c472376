import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { CHART, type Done, run } from "../chart/tools.ts";

export const NAMESPACE = "symphony-test";
export const RELEASE = "load";
export const DEPLOYMENT = `${RELEASE}-symphony-messenger-worker-default`;

/** A node that may be lost. */
export interface Expendable {
  readonly name: string;
  /** Resolves when nothing of it runs any more; nobody was told. */
  fail(): Promise<void>;
}

/** A Kubernetes cluster, by kubectl and helm. */
export class Cluster {
  readonly #helm: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #stop: () => Promise<void>;
  readonly expendable: Expendable | undefined;
  readonly #forwards: ChildProcess[] = [];

  constructor(
    helm: string,
    kubeconfig: string | undefined,
    { stop = async () => undefined, expendable }: { stop?: () => Promise<void>; expendable?: Expendable } = {},
  ) {
    this.expendable = expendable;
    this.#helm = helm;
    this.#env = kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig };
    this.#stop = stop;
  }

  try(args: readonly string[], o: { input?: string; withinMs?: number } = {}): Promise<Done> {
    return run("kubectl", args, { env: this.#env, ...o });
  }

  /** Standard output. @throws {Error} it failed; with what it said. */
  async kubectl(args: readonly string[], o: { input?: string; withinMs?: number } = {}): Promise<string> {
    return expectSuccess(`kubectl ${args.join(" ")}`, await this.try(args, o));
  }

  /** In the namespace of the release. */
  helm(args: readonly string[], withinMs = 240_000): Promise<string> {
    return run(this.#helm, ["-n", NAMESPACE, ...args], { env: this.#env, withinMs }).then((done) =>
      expectSuccess(`helm ${args.join(" ")}`, done),
    );
  }

  /** Installs or upgrades the release with these values, and waits until it is there. */
  install(verb: "install" | "upgrade", values: string, set: readonly string[] = []): Promise<string> {
    const sets = set.flatMap((value) => ["--set", value]);
    return this.helm([verb, RELEASE, CHART, "-f", values, ...sets, "--wait", "--timeout", "180s"]);
  }

  /** Names of the worker pods that are there, those that end included. */
  async pods(): Promise<readonly string[]> {
    const label = "app.kubernetes.io/component=worker-default";
    const out = await this.kubectl(["-n", NAMESPACE, "get", "pods", "-l", label, "-o", "jsonpath={.items[*].metadata.name}"]);
    return out.split(" ").filter((name) => name !== "");
  }

  /** Names of the worker pods on a node. */
  async podsOn(node: string): Promise<readonly string[]> {
    const flags = ["-l", "app.kubernetes.io/component=worker-default", `--field-selector=spec.nodeName=${node}`];
    const out = await this.kubectl(["-n", NAMESPACE, "get", "pods", ...flags, "-o", "jsonpath={.items[*].metadata.name}"]);
    return out.split(" ").filter((name) => name !== "");
  }

  /** Resolves when the Deployment has so many ready pods, and no other is left. */
  async scaled(replicas: number, withinMs = 120_000): Promise<void> {
    const until = Date.now() + withinMs;
    await this.kubectl(["-n", NAMESPACE, "rollout", "status", `deployment/${DEPLOYMENT}`, `--timeout=${withinMs / 1_000}s`], { withinMs });
    while ((await this.pods()).length !== replicas) {
      if (Date.now() > until) throw new Error(`not ${replicas} pods within ${withinMs} ms: ${(await this.pods()).join(" ")}`);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  /** A port of this machine that leads to a service; kept open until the cluster is stopped. */
  async forward(namespace: string, target: string, port: number): Promise<number> {
    const args = ["-n", namespace, "port-forward", target, `:${port}`, "--address", "127.0.0.1"];
    const child = spawn("kubectl", args, { env: { ...process.env, ...this.#env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#forwards.push(child);
    const said = Promise.withResolvers<number>();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = /127\.0\.0\.1:(\d+) ->/.exec(line)?.[1];
      if (found !== undefined) said.resolve(Number(found));
    });
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    child.once("exit", () => said.reject(new Error(`port-forward ended: ${complaint}`)));
    return said.promise;
  }

  async stop(): Promise<void> {
    for (const child of this.#forwards) child.kill();
    await this.#stop();
  }
}

function expectSuccess(what: string, { code, out, err }: Done): string {
  if (code !== 0) throw new Error(`${what} exited with ${code}: ${out.slice(-1_500)}${err.slice(-3_000)}`);
  return out.trim();
}
