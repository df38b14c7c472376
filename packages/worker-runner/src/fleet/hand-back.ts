import { isReapable, isSupervisable, type Logger, type Transport, toErrorRecord } from "@symphony/core";

export interface HandBackOptions {
  readonly transports: Readonly<Record<string, Transport>>;
  readonly logger: Logger;
  /** Messages are back on this transport. */
  readonly onHandedBack: (transport: string) => void;
}

/** A worker of a process that is gone, or that has given its lease up. */
export interface Leaver {
  readonly transport: string;
  readonly workerId: string;
  readonly pid: number;
}

/**
 * Gives back what these workers still hold, at once instead of when their leases run out: marked as suspects of the
 * process's death when one of them can have caused it. Never rejects: what fails here is left to the reaper.
 */
export async function handBack(leavers: readonly Leaver[], suspected: boolean, o: HandBackOptions): Promise<void> {
  await Promise.all(
    leavers.map(async ({ transport: name, workerId, pid }) => {
      const transport = o.transports[name];
      if (transport === undefined || !isReapable(transport)) return;
      try {
        const marks = suspected && isSupervisable(transport);
        const { messages } = await (marks ? transport.retireAsSuspects(workerId) : transport.retire(workerId));
        if (messages === 0) return;
        o.logger.warn({ child_pid: pid, transport: name, messages, suspected: marks }, "handed the messages of a worker process back");
        o.onHandedBack(name);
      } catch (error) {
        o.logger.warn({ err: toErrorRecord(error), child_pid: pid, transport: name }, "could not hand messages back; the reaper will");
      }
    }),
  );
}
