import { sloRules } from "@symphony/telemetry";
import { defineCommand, defineGroup } from "../command.ts";
import { print } from "../output.ts";
import { openSession } from "../session.ts";

const rules = defineCommand({
  usage: "rules",
  describe: "Print recording and alert rules for Prometheus, from the objectives of the message types",
  options: {},
  examples: [["symphony slo rules > rules/slo.yaml", "for a Prometheus that reads rules/*.yaml"]],
  async run(io, flags) {
    const { loaded } = await openSession(io, flags);
    const types = loaded.parsed.messages.flatMap(({ name, queue, slo }) => (slo === undefined ? [] : [{ name, queue, slo }]));
    if (types.length === 0 && flags.json !== true)
      io.err("no message type has an objective: defineMessage(name, { slo: { startWithinMs, objective } })\n");
    print(io, flags.json === true, { types }, () => sloRules(types).trimEnd());
  },
});

export const slo = defineGroup({ usage: "slo", describe: "Objectives of message types", commands: [rules] });
