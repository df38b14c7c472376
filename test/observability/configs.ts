import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

interface Validator {
  readonly file: string;
  readonly program: string;
  readonly args: readonly string[];
  /** What shows that the program is there. */
  readonly probe: readonly string[];
}

const VALIDATORS: readonly Validator[] = [
  {
    file: "deploy/prometheus/prometheus.yaml",
    program: "promtool",
    args: ["check", "config", "deploy/prometheus/prometheus.yaml"],
    probe: ["--version"],
  },
  {
    file: "deploy/collector.yaml",
    program: process.env.OTELCOL ?? "otelcol",
    args: ["validate", "--config=deploy/collector.yaml"],
    probe: ["--version"],
  },
  {
    file: "deploy/collector-kubernetes.yaml",
    program: process.env.OTELCOL_CONTRIB ?? "otelcol-contrib",
    args: ["validate", "--config=deploy/collector-kubernetes.yaml"],
    probe: ["--version"],
  },
  {
    file: "deploy/compose.yaml",
    program: "docker",
    args: ["compose", "-f", "deploy/compose.yaml", "config", "--quiet"],
    probe: ["compose", "version"],
  },
];

/**
 * Gives each configuration to the program that it is for. What is not on this machine is said.
 *
 * @throws {Error} a configuration is refused.
 */
export function validateConfigurations(): readonly string[] {
  const env = { ...process.env, SYMPHONY_AUTH_TOKEN: "x".repeat(32), TRACES_ENDPOINT: "localhost:4317" };
  return VALIDATORS.map(({ file, program, args, probe }) => {
    if (spawnSync(program, probe, { cwd: root }).status !== 0) return `NOT RUN: ${file}: there is no ${[program, ...probe].join(" ")}`;
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, env, encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} refuses ${file}:\n${stdout}${stderr}`);
    return `${file} is accepted by ${program} ${args[0]}`;
  });
}
