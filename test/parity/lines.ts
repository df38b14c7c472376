import { COMMANDS } from "./commands.ts";
import { CONFIGURATION, DECLARATIONS } from "./configuration.ts";
import { ENVELOPE, MIDDLEWARE } from "./envelope.ts";
import { EVENTS } from "./events.ts";
import { INTERFACES, SCHEDULER } from "./interfaces.ts";
import type { Line } from "./line.ts";

export const LINES: readonly Line[] = [
  ...COMMANDS,
  ...CONFIGURATION,
  ...DECLARATIONS,
  ...ENVELOPE,
  ...MIDDLEWARE,
  ...EVENTS,
  ...INTERFACES,
  ...SCHEDULER,
];
