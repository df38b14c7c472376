import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sloRules } from "@symphony/telemetry";

const TYPE = { name: "mail.send", queue: "mails", slo: { startWithinMs: 5_000, objective: 0.99 } };

/** The rules that `symphony slo rules` prints for a type, and cases in which its alerts fire and are quiet. */
export function sloFiles(): { readonly rules: string; readonly cases: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), "symphony-slo-"));
  const [rules, cases] = [join(directory, "rules.yaml"), join(directory, "cases.yaml")];
  writeFileSync(rules, sloRules([TYPE]));
  const alerts = [
    { alertname: "SymphonyStartSloBurnFast", late: "0x59 9x30", inTime: "0x59 4x30", at: "80m" },
    { alertname: "SymphonyStartSloBurnSlow", late: "0x359 9x90", inTime: "0x359 4x90", at: "440m" },
  ];
  const tests = alerts.flatMap(({ alertname, late, inTime, at }) => [
    caseOf(alertname, late, at, true),
    caseOf(alertname, inTime, at, false),
  ]);
  // JSON is YAML.
  writeFileSync(cases, JSON.stringify({ rule_files: [rules], evaluation_interval: "1m", tests }));
  return { rules, cases, remove: () => rmSync(directory, { recursive: true }) };
}

function caseOf(alertname: string, values: string, at: string, fires: boolean): object {
  const series = 'symphony_queue_oldest_age_seconds{messaging_destination_name="mails"}';
  // What a rule says is tested where it is made; here, whether it is true.
  const expr = `ALERTS{alertname="${alertname}", alertstate="firing"}`;
  const severity = alertname.endsWith("Fast") ? "critical" : "warning";
  const labels = `ALERTS{alertname="${alertname}", alertstate="firing", messaging_destination_name="mails", severity="${severity}", symphony_message_type="mail.send"}`;
  return {
    interval: "1m",
    input_series: [{ series, values }],
    promql_expr_test: [{ expr, eval_time: at, exp_samples: fires ? [{ labels, value: 1 }] : [] }],
  };
}
