import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

let waiting: ChildProcess | undefined;

/**
 * Starts the process that will read the configuration before this one has loaded its own modules: both load at the same
 * time. This module imports nothing that takes any.
 */
export function startPlanner(): ChildProcess {
  waiting ??= forkPlanner();
  return waiting;
}

/** The process that was started, or a new one; it waits for its call. */
export function takePlanner(): ChildProcess {
  const early = waiting;
  waiting = undefined;
  // One that ended in the meantime would never be heard of again.
  const planner = early?.connected === true && early.exitCode === null && early.signalCode === null ? early : forkPlanner();
  planner.ref();
  planner.channel?.ref();
  return planner;
}

/** Nobody wants a plan in the end. */
export function dismissPlanner(): void {
  waiting?.kill("SIGKILL");
  waiting = undefined;
}

function forkPlanner(): ChildProcess {
  const module = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./plan-main.ts" : "./plan-main.js", import.meta.url));
  const child = fork(module, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  // Until it is taken it keeps nobody, and whoever takes it asks whether it lives.
  child.on("error", () => undefined);
  child.unref();
  child.channel?.unref();
  return child;
}
