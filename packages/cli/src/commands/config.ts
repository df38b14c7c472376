import { checkConfig } from "@symphony/core";
import { checkedAuth } from "../admin-auth.ts";
import { assertHandlers } from "../assert-handlers.ts";
import { defineCommand, defineGroup } from "../command.ts";
import { plural, print } from "../output.ts";
import { openSession } from "../session.ts";
import { unknownVariables } from "../settings.ts";

/** What `--for` asks for beyond what every command needs. */
const PURPOSES = ["consume", "admin"] as const;

const check = defineCommand({
  usage: "check",
  describe: "Check configuration and environment as the fleet would at its start, connecting to nothing",
  options: {
    for: { choices: PURPOSES, requiresArg: true, describe: "Also what this command needs: handlers, or credentials" },
  },
  examples: [
    ["symphony config check", "before it is deployed"],
    ["symphony config check --for consume", "in an init container of the workers: config.check of the chart"],
  ],
  async run(io, flags) {
    const session = await openSession(io, flags);
    const { loaded } = session;
    const { messages, handlers, transports } = await checkConfig(loaded.config);
    // `auth` is the admin API's to know; a slip in it is one for whoever reads the file.
    const { parseAuthConfig } = await import("@symphony/admin-api");
    parseAuthConfig(loaded.parsed.auth);
    if (flags.for === "consume") assertHandlers(loaded.file, handlers);
    if (flags.for === "admin") await checkedAuth(session);
    const warnings = unknownVariables(io.environment);
    for (const warning of warnings) io.err(`warning: ${warning}\n`);
    const counts = { messages: messages.length, handlers: handlers.length, transports: Object.keys(transports).length };
    print(io, flags.json === true, { ok: true, file: loaded.file, ...counts, warnings }, () => {
      const what = Object.entries({ "message type": counts.messages, handler: counts.handlers, transport: counts.transports });
      const all = what.map(([noun, n]) => plural(n, noun)).join(", ");
      return `${loaded.file ?? "no configuration, defaults"}: ${all}: nothing wrong with it`;
    });
  },
});

export const config = defineGroup({ usage: "config", describe: "Check the configuration before it is used", commands: [check] });
