import { systemRuntime } from "../clock.ts";
import { Envelope, type Stamp, type StampType } from "../envelope.ts";
import { dispatched, lineage, messageId, typeVersion } from "../stamps.ts";

/**
 * An envelope as the bus would hand it to a transport: id, time, lineage and version are stamped, unless `stamps`
 * brings its own.
 */
export function testEnvelope<Payload>(type: string, payload: Payload, stamps: readonly Stamp[] = []): Envelope<Payload> {
  const given = Envelope.wrap({ type, payload }, stamps);
  const id = given.last(messageId)?.id ?? systemRuntime.newId();
  const missing: Stamp[] = [];
  const add = <Value>(stampType: StampType<Value>, value: Value): void => {
    if (given.last(stampType) === undefined) missing.push(stampType(value));
  };
  add(messageId, { id });
  add(dispatched, { at: systemRuntime.clock.now() });
  add(lineage, { root: id, depth: 0 });
  add(typeVersion, { version: 1 });
  return missing.length === 0 ? given : Envelope.wrap({ type, payload }, [...missing, ...stamps]);
}
