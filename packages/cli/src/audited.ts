import { hostname, userInfo } from "node:os";
import { type Actor, type AuditEntry, type AuditedResult, isAuditable, type Transport } from "@symphony/core";

/** Whose name goes with the deed: the user of this machine. */
export function operator(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a number that has no name.
    return `uid ${process.getuid?.() ?? "?"}`;
  }
}

/** Who sits at this command line, for the audit. */
export const cliActor = (): Actor => ({ name: operator(), kind: "cli", address: hostname() });

/** Does `work`, in one commit with the record of it where the transport keeps records. */
export async function audited<T>(
  transport: Transport,
  about: Omit<AuditEntry, "actor">,
  work: () => Promise<AuditedResult<T>>,
): Promise<T> {
  if (!isAuditable(transport)) return (await work()).value;
  return (await transport.audited({ ...about, actor: cliActor() }, work)).value;
}
