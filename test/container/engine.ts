import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Scripts that make base images where no registry can be reached; somebody else's, and not everywhere. */
const KIT = process.env.CONTAINER_KIT ?? join(ROOT, "../shared/containers");
const MB = 1_048_576;

/** This machine cannot do it; the message says why. */
export class CannotRunHere extends Error {}

export interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end; does not throw when it fails. */
export function run(program: string, args: readonly string[], o: { withinMs?: number; env?: NodeJS.ProcessEnv } = {}): Promise<Done> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { ...process.env, ...o.env }, timeout: o.withinMs ?? 60_000, maxBuffer: 64 * MB };
    execFile(program, args, options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, out, err: error !== null && err === "" ? error.message : err });
    });
  });
}

/** A container engine, by its command. */
export class Engine {
  readonly name: string;
  /** What its command needs, beside this process's own environment. */
  readonly environment: NodeJS.ProcessEnv;

  private constructor(name: string, environment: NodeJS.ProcessEnv) {
    this.name = name;
    this.environment = environment;
  }

  /**
   * Docker if it answers, else podman, set up by the kit where the kit is.
   *
   * @throws {CannotRunHere} there is none.
   */
  static async find(): Promise<Engine> {
    const kit = existsSync(join(KIT, "podman-env.sh")) && process.getuid?.() === 0;
    const docker = new Engine("docker", {});
    if (await docker.#answers()) return docker;
    if (kit) await run(join(KIT, "install.sh"), ["podman"], { withinMs: 180_000 });
    const podman = new Engine("podman", kit ? await podmanSettings() : {});
    if (await podman.#answers()) return podman;
    throw new CannotRunHere("no container engine answers here: neither docker nor podman");
  }

  async #answers(): Promise<boolean> {
    return (await this.try(["info"], 20_000)).code === 0;
  }

  try(args: readonly string[], withinMs = 60_000): Promise<Done> {
    return run(this.name, args, { withinMs, env: this.environment });
  }

  /** Standard output. @throws {Error} it failed; with what it said. */
  async must(args: readonly string[], withinMs = 60_000): Promise<string> {
    const { code, out, err } = await this.try(args, withinMs);
    if (code !== 0) throw new Error(`${this.name} ${args.join(" ")} exited with ${code}:\n${out.slice(-2_000)}${err.slice(-4_000)}`);
    return out.trim();
  }

  /** @throws {CannotRunHere} containers can be made, but not started. */
  async assertRuns(image: string): Promise<void> {
    const { code, err } = await this.try(["run", "--rm", "--entrypoint", "node", image, "--version"]);
    if (code !== 0) throw new CannotRunHere(`${this.name} cannot start a container: ${err.trim().split("\n").at(-1)}`);
  }

  /** Sees to it that a base image is there: already, from a registry, or made by the kit. */
  async provide(image: string, kind: "node" | "postgres"): Promise<void> {
    if ((await this.try(["image", "inspect", image])).code === 0) return;
    if (existsSync(join(KIT, "base-image.sh")) && process.getuid?.() === 0) {
      const made = await run(join(KIT, "base-image.sh"), [kind], { withinMs: 240_000, env: { ...this.environment, ENGINE: this.name } });
      if (made.code === 0) return;
    }
    const pulled = await this.try(["pull", image], 120_000);
    if (pulled.code !== 0)
      throw new CannotRunHere(`${image} is not here and no registry gives it: ${pulled.err.trim().split("\n").at(-1)}`);
  }
}

/** What sourcing the kit's settings leaves in the environment. */
async function podmanSettings(): Promise<NodeJS.ProcessEnv> {
  const script = `. ${join(KIT, "podman-env.sh")} && printf '%s\\n' "$CONTAINERS_CONF" "$BUILDAH_RUNTIME" "$BUILDAH_FORMAT"`;
  const [CONTAINERS_CONF, BUILDAH_RUNTIME, BUILDAH_FORMAT] = (await run("bash", ["-c", script])).out.split("\n");
  return { CONTAINERS_CONF, BUILDAH_RUNTIME, BUILDAH_FORMAT };
}
