import { bySeverity, type Finding, type FindingSeverity, isDiagnosable, type Messenger } from "@symphony/core";
import { defineCommand, toggle } from "../command.ts";
import { CommandFailed } from "../exit-codes.ts";
import { fleetConnections, fleetSize } from "../fleet/plan.ts";
import type { Io } from "../io.ts";
import { plain, plural, print } from "../output.ts";
import { chosenTransports, openSession, type Session, withMessenger, withoutAutoSetup } from "../session.ts";
import { overviewOf } from "./debug.ts";

interface Report {
  /** Nothing of severity `error`. */
  readonly healthy: boolean;
  readonly findings: readonly (Finding & { readonly transport: string | null })[];
  /** Transports that cannot be examined. */
  readonly unexamined: readonly string[];
}

/** What the configuration alone tells. */
function configFindings(session: Session, environment: Io["environment"]): Finding[] {
  const { problems } = overviewOf(session.loaded.parsed);
  const findings = [
    ...problems.handlersWithoutRoute.map(
      (handler): Finding => ({
        code: "handler-without-route",
        severity: "warning",
        subject: handler,
        finding: `no route leads to the handler ${handler}`,
        consequence: "its messages can only be sent with an explicit transport",
        cure: 'add a pattern for its message to "routing"',
      }),
    ),
    ...problems.messagesWithoutHandler.map(
      (type): Finding => ({
        code: "message-without-handler",
        severity: "info",
        subject: type,
        finding: `no handler of this configuration takes "${type}"`,
        consequence: "a fleet of this configuration dead-letters it with the reason no_handler",
        cure: "add its handler, or consume its queue with the configuration that has one",
      }),
    ),
  ];
  const embedded = Object.entries(session.loaded.parsed.transports).filter(([, { dsn }]) => dsn.startsWith("embedded:"));
  if (environment.NODE_ENV === "production") {
    for (const [name] of embedded) {
      findings.push({
        code: "embedded-in-production",
        severity: "error",
        subject: name,
        finding: `the transport "${name}" uses the embedded PostgreSQL, and NODE_ENV is production`,
        consequence: "the data live in a directory of this machine or container, and no other machine shares them",
        cure: "set DATABASE_URL, or the dsn of the transport, to a PostgreSQL server",
      });
    }
  }
  return findings;
}

async function examine(session: Session, messenger: Messenger, named: readonly string[], io: Io): Promise<Report> {
  const chosen = chosenTransports(messenger, named);
  const connections = fleetConnections(
    messenger,
    chosen.map(([name]) => name),
    fleetSize(session.settings),
  );
  const findings: Report["findings"][number][] = configFindings(session, io.environment).map((each) => ({ transport: null, ...each }));
  const unexamined: string[] = [];
  for (const [name, transport] of chosen) {
    if (!isDiagnosable(transport)) unexamined.push(name);
    else
      for (const each of await transport.diagnose(connections === null ? {} : { connections })) findings.push({ transport: name, ...each });
  }
  return {
    healthy: !findings.some(({ severity }) => severity === "error"),
    findings: bySeverity(findings),
    unexamined,
  };
}

const count = (report: Report, severity: FindingSeverity): number => report.findings.filter((each) => each.severity === severity).length;

function toText(report: Report): string {
  const blocks = report.findings.map(({ severity, code, transport, finding, consequence, cure }) => {
    const where = transport === null ? "configuration" : transport;
    return plain([`${severity.toUpperCase()} ${code} (${where})`, `  ${finding}`, `  so: ${consequence}`, `  cure: ${cure}`].join("\n"));
  });
  const summary = `${plural(count(report, "error"), "error")}, ${plural(count(report, "warning"), "warning")}, ${count(report, "info")} for information`;
  const unexamined = report.unexamined.map((name) => `${name}: cannot be examined`);
  return [...blocks, [...unexamined, report.findings.length === 0 ? "nothing found" : summary].join("\n")].join("\n\n");
}

export const doctor = defineCommand({
  usage: "doctor [transports..]",
  describe: "Examine configuration, database and queues; each finding with its cure",
  options: { strict: toggle("Fail on warnings, too") },
  positionals: (yargs) => yargs.positional("transports", { type: "string", array: true, describe: "Only these" }),
  examples: [
    ["symphony doctor", "look for what is wrong"],
    ["symphony doctor --json | jq -r '.findings[].cure'", "only what to do"],
    ["symphony doctor --strict", "for a deployment's check"],
  ],
  async run(io, flags) {
    const session = await openSession(io, flags);
    const named = (flags.transports as string[] | undefined) ?? [];
    const config = withoutAutoSetup(session.loaded.config);
    const report = await withMessenger(session, (messenger) => examine(session, messenger, named, io), config);
    print(io, flags.json === true, report, () => toText(report));
    if (!report.healthy || (flags.strict && count(report, "warning") > 0)) throw new CommandFailed("something needs a cure");
  },
});
