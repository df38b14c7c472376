import type { Command } from "./command.ts";

/** Every command by its name, in the order of the help text. Loaded when it is needed: starting one must not cost all of them. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  consume: () => import("./commands/consume.ts").then(({ consume }) => consume),
  dispatch: () => import("./commands/dispatch.ts").then(({ dispatch }) => dispatch),
  status: () => import("./commands/status.ts").then(({ status }) => status),
  failed: () => import("./commands/failed.ts").then(({ failed }) => failed),
  queue: () => import("./commands/queue.ts").then(({ queue }) => queue),
  schedule: () => import("./commands/schedule.ts").then(({ schedule }) => schedule),
  message: () => import("./commands/message.ts").then(({ message }) => message),
  cancel: () => import("./commands/cancel.ts").then(({ cancel }) => cancel),
  setup: () => import("./commands/setup.ts").then(({ setup }) => setup),
  "stop-workers": () => import("./commands/stop-workers.ts").then(({ stopWorkers }) => stopWorkers),
  workers: () => import("./commands/workers.ts").then(({ workers }) => workers),
  debug: () => import("./commands/debug.ts").then(({ debug }) => debug),
  config: () => import("./commands/config.ts").then(({ config }) => config),
  slo: () => import("./commands/slo.ts").then(({ slo }) => slo),
  doctor: () => import("./commands/doctor.ts").then(({ doctor }) => doctor),
  admin: () => import("./commands/admin.ts").then(({ admin }) => admin),
  health: () => import("./commands/health.ts").then(({ health }) => health),
  "round-trip": () => import("./commands/round-trip.ts").then(({ roundTrip }) => roundTrip),
  scale: () => import("./commands/scale.ts").then(({ scale }) => scale),
  autoscale: () => import("./commands/autoscale.ts").then(({ autoscale }) => autoscale),
  token: () => import("./commands/token.ts").then(({ token }) => token),
  audit: () => import("./commands/audit.ts").then(({ audit }) => audit),
  dev: () => import("./commands/dev.ts").then(({ dev }) => dev),
};

/** The command that a line begins with; all of them where it begins with something else, for help and suggestions. */
export function loadCommands(line: readonly string[]): Promise<readonly Command[]> {
  const [name = ""] = line;
  const names = Object.hasOwn(COMMANDS, name) ? [name] : Object.keys(COMMANDS);
  return Promise.all(names.map((each) => COMMANDS[each]?.()).filter((loading) => loading !== undefined));
}
