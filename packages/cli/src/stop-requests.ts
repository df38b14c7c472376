import { isReapable, isSupervisable, type Transport, TransportError } from "@symphony/core";
import { audited } from "./audited.ts";

/** Can have the workers of the fleet replaced. */
export interface Stoppable {
  /** Resolves with the number of workers that run now, and are meant. */
  stopWorkers(): Promise<number>;
}

const stopsByItself = (transport: Transport & Partial<Stoppable>): transport is Transport & Stoppable =>
  transport.stopWorkers !== undefined;

/** How a transport asks its workers to make room for new ones; undefined: it cannot. */
export function stopperOf(name: string, transport: Transport): (() => Promise<number>) | undefined {
  if (stopsByItself(transport)) return () => transport.stopWorkers();
  if (!isSupervisable(transport)) return undefined;
  return () =>
    audited(transport, { action: "stop-workers", target: name, parameters: {} }, async () => {
      // Counted before: those that come up after the request are not meant by it.
      const count = isReapable(transport) ? (await transport.listWorkers()).length : 0;
      await transport.requestStop();
      return { value: count, count };
    });
}

export const nobodyToAsk = (): TransportError =>
  new TransportError("CAPABILITY_MISSING", "no transport here has workers of other processes to be asked");
