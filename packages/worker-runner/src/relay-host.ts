import { Envelope, isTransactional, type Messenger, type SendResult, schemeOf } from "@symphony/core";
import { toPlainError } from "./plain-error.ts";
import type { PlainSendResult, RelaySpec, SendAnswer, SendRequest } from "./thread-protocol.ts";

/** What the threads have to know about the transports of this process. */
export function describeRelays(messenger: Messenger): readonly RelaySpec[] {
  return messenger.transportNames.map((name) => {
    const transport = messenger.transport(name);
    const dsn = addressOf(transport, messenger.config.transports[name]?.dsn ?? "");
    // What lives in this process's memory cannot be opened a second time from a thread.
    return isTransactional(transport) && schemeOf(dsn) !== "memory" ? { name, transactional: { dsn } } : { name };
  });
}

/** An embedded database is started once, by this process: its threads get the address that it has, and the same options. */
function addressOf(transport: object, dsn: string): string {
  const { connectionString } = transport as { readonly connectionString?: unknown };
  if (schemeOf(dsn) !== "embedded" || typeof connectionString !== "string") return dsn;
  const at = dsn.indexOf("?");
  return at < 0 ? connectionString : `${connectionString}${connectionString.includes("?") ? "&" : "?"}${dsn.slice(at + 1)}`;
}

/**
 * Sends what handlers in a thread dispatched. What came in one post goes to a transport in one call, which makes it one
 * round trip; the answers tell each request its own results.
 */
export async function sendForThread(
  messenger: Messenger,
  requests: readonly SendRequest[],
  answer: (answers: readonly SendAnswer[]) => void,
): Promise<void> {
  const byTransport = Map.groupBy(requests, (request) => request.transport);
  await Promise.all([...byTransport].map(async ([name, group]) => answer(await sendGroup(messenger, name, group))));
}

async function sendGroup(messenger: Messenger, name: string, group: readonly SendRequest[]): Promise<readonly SendAnswer[]> {
  try {
    const envelopes = group.flatMap((request) => request.envelopes.map(({ message, stamps }) => Envelope.wrap(message, stamps)));
    const results = await messenger.transport(name).send(envelopes);
    const left = results.values();
    return group.map(({ id, envelopes: own }) => ({ id, results: left.take(own.length).map(toPlainResult).toArray() }));
  } catch (error) {
    return group.map(({ id }) => ({ id, error: toPlainError(error) }));
  }
}

function toPlainResult(result: SendResult): PlainSendResult {
  return result.kind === "refused" ? { kind: "refused", error: toPlainError(result.error) } : result;
}
