import {
  type Auditable,
  type Clock,
  type Countable,
  type Groupable,
  isAuditable,
  isCountable,
  isGroupable,
  isListable,
  isRequestKeeping,
  type Listable,
  type Messenger,
  MessengerError,
  type RequestStore,
  type Transport,
  TransportError,
} from "@symphony/core";

export type Named<T> = readonly [name: string, transport: T];

/** The transport that is meant when none is named: "default", else the first. */
const DEFAULT_TRANSPORT = "default";

/** @throws {MessengerError} `TRANSPORT_NOT_FOUND` */
export function transportOrDefault(messenger: Messenger, wanted: string | undefined): Named<Transport> {
  const names = messenger.transportNames;
  const name = wanted ?? (names.includes(DEFAULT_TRANSPORT) ? DEFAULT_TRANSPORT : (names[0] ?? DEFAULT_TRANSPORT));
  return [name, messenger.transport(name)];
}

/** The one that was named, or all. */
export function transportsOf(messenger: Messenger, wanted: string | undefined): readonly Named<Transport>[] {
  const names = wanted === undefined ? messenger.transportNames : [wanted];
  return names.map((name) => [name, messenger.transport(name)] as const);
}

/**
 * Where requests are remembered: in one place, whichever transport they are about, so that a key means one request.
 *
 * @throws {MessengerError} `CAPABILITY_MISSING`
 */
export function requestStore(messenger: Messenger): RequestStore {
  const named = transportOrDefault(messenger, undefined);
  const able = [named, ...transportsOf(messenger, undefined)].map(([, transport]) => transport).find(isRequestKeeping);
  if (able === undefined) throw missing(named[0], "remember requests");
  return able.requests;
}

export function countable([name, transport]: Named<Transport>): Named<Transport & Countable> {
  if (!isCountable(transport)) throw missing(name, "count messages");
  return [name, transport];
}

export function auditable([name, transport]: Named<Transport>): Named<Auditable> {
  if (!isAuditable(transport)) throw missing(name, "keep records of actions");
  return [name, transport];
}

export function listable([name, transport]: Named<Transport>): Named<Transport & Listable> {
  if (!isListable(transport)) throw missing(name, "list failed messages");
  return [name, transport];
}

export function groupable([name, transport]: Named<Transport>): Named<Groupable> {
  if (!isGroupable(transport)) throw missing(name, "group failed messages");
  return [name, transport];
}

/** @throws {MessengerError} `CAPABILITY_MISSING`, saying `what` it cannot do. */
export function capable<C>(
  [name, transport]: Named<Transport>,
  can: (transport: Transport) => boolean,
  what: string,
): Named<Transport & C> {
  if (!can(transport)) throw missing(name, what);
  return [name, transport as Transport & C];
}

const missing = (name: string, what: string): MessengerError =>
  new MessengerError("CAPABILITY_MISSING", `the transport "${name}" cannot ${what}`, { details: { transport: name } });

/** Milliseconds. A database that does not answer must not pile up requests; what was asked of it may still finish. */
const READ_DEADLINE_MS = 3_000;

/** @throws {TransportError} `TRANSPORT_UNAVAILABLE` when it takes too long. */
export async function inTime<T>(clock: Clock, reading: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = clock.schedule(
    READ_DEADLINE_MS,
    () => late.reject(new TransportError("TRANSPORT_UNAVAILABLE", `no answer within ${READ_DEADLINE_MS} ms`)),
    { unref: true },
  );
  try {
    return await Promise.race([reading, late.promise]);
  } finally {
    timer.cancel();
  }
}
