import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Done, type Engine, run } from "../container/engine.ts";

/** A service of others: its image here, or why there is none. */
export type Stand = { readonly service: string } & ({ readonly image: string } | { readonly missing: string });

const OURS = ["postgres", "setup", "fleet", "admin"];

/** deploy/compose.yaml under a name of its own, with free ports. */
export class Compose {
  readonly token = randomBytes(24).toString("hex");
  /** Services that can run here. */
  readonly present: readonly string[];
  readonly absent: Readonly<Record<string, string>>;
  readonly #engine: Engine;
  readonly #images: readonly string[];
  readonly #project = `symphony-test-${randomBytes(4).toString("hex")}`;
  readonly #files: readonly string[];

  constructor(engine: Engine, stands: readonly Stand[], directory: string) {
    this.#engine = engine;
    const made = stands.flatMap((stand) => ("image" in stand ? [stand] : []));
    this.present = [...OURS, ...made.map(({ service }) => service)];
    this.absent = Object.fromEntries(stands.flatMap((stand) => ("missing" in stand ? [[stand.service, stand.missing]] : [])));
    this.#images = [...made.map(({ image }) => image), this.#ours("messenger"), this.#ours("webhooks")];
    const overrides = join(directory, "overrides.yaml");
    writeFileSync(overrides, this.#overrides(made));
    this.#files = ["-f", "deploy/compose.yaml", "-f", overrides];
  }

  #ours(name: string): string {
    return `${this.#project}/${name}`;
  }

  /** What differs from the file: images that can be had, free ports, nothing that is started for what is absent. */
  #overrides(made: readonly { readonly service: string; readonly image: string }[]): string {
    const app = `image: ${this.#ours("webhooks")}`;
    const others = made.map(({ service, image }) => {
      if (service === "prometheus") return `  prometheus: { image: "${image}", ports: !override ["127.0.0.1::9090"] }`;
      return `  ${service}: { image: "${image}", depends_on: !reset [] }`;
    });
    return [
      "services:",
      `  base: { image: ${this.#ours("messenger")} }`,
      "  postgres: { image: postgres:17 }",
      `  setup: { ${app}, build: { args: { SYMPHONY_IMAGE: ${this.#ours("messenger")} } } }`,
      `  fleet: { ${app} }`,
      `  demo: { ${app} }`,
      `  admin: { ${app}, ports: !override ["127.0.0.1::8080"] }`,
      ...others,
    ]
      .join("\n")
      .concat("\n");
  }

  try(args: readonly string[], withinMs = 60_000): Promise<Done> {
    const env = { ...this.#engine.environment, SYMPHONY_AUTH_TOKEN: this.token };
    return run(this.#engine.name, ["compose", "-p", this.#project, ...this.#files, ...args], { withinMs, env });
  }

  /** Standard output. @throws {Error} it failed; with what it said. */
  async must(args: readonly string[], withinMs?: number): Promise<string> {
    const { code, out, err } = await this.try(args, withinMs);
    if (code === 0) return out.trim();
    const logs = (await this.try(["logs", "--tail", "20", "--no-color"])).out;
    throw new Error(`compose ${args.join(" ")} exited with ${code}:\n${out.slice(-2_000)}${err.slice(-3_000)}\n${logs.slice(-4_000)}`);
  }

  /** Where a port of a service is published. */
  async address(service: string, port: number): Promise<string> {
    return `http://${await this.must(["port", service, String(port)])}`;
  }

  /** Health by service, else what its container does. */
  async states(): Promise<Readonly<Record<string, string>>> {
    const lines = (await this.must(["ps", "--all", "--format", "json"])).split("\n").filter((line) => line !== "");
    const found = lines.flatMap((line) => JSON.parse(line) as { Service: string; Health: string; State: string });
    return Object.fromEntries(found.map(({ Service, Health, State }) => [Service, Health === "" ? State : Health]));
  }

  /** @throws {Error} something is left. */
  async down(keepImages: boolean): Promise<undefined> {
    await this.must(["--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "35"], 120_000);
    if (!keepImages) await this.#engine.try(["rmi", "-f", ...this.#images]);
    const filter = ["--filter", `label=com.docker.compose.project=${this.#project}`, "--quiet"];
    const left = await Promise.all(
      [
        ["ps", "--all"],
        ["network", "ls"],
        ["volume", "ls"],
      ].map((list) => this.#engine.must([...list, ...filter])),
    );
    if (left.some((ids) => ids !== "")) throw new Error(`left behind: ${left.join(" ")}`);
    return undefined;
  }
}
