import { CountMismatchError, TransportError } from "../../errors.ts";
import type { Pausable, Pause, PauseTarget, Purgeable, PurgeOptions } from "../../queue-control.ts";
import { MemoryAudited } from "./audited.ts";

/** The part of a memory transport that an operator turns: pauses and purges. */
export abstract class MemoryControl extends MemoryAudited implements Pausable, Purgeable {
  async pauseQueue(target: PauseTarget, by?: string): Promise<void> {
    this.#assertQueue(target.queue);
    this.store.pause(target, by ?? null);
  }

  async resumeQueue(target: PauseTarget): Promise<boolean> {
    this.#assertQueue(target.queue);
    return this.store.resume(target);
  }

  async listPauses(): Promise<readonly Pause[]> {
    this.assertOpen();
    return this.store.pauses();
  }

  async countPurgeable(target: PauseTarget): Promise<number> {
    this.#assertQueue(target.queue);
    return this.store.waiting(target).length;
  }

  async purgeQueue(queue: string, options: PurgeOptions = {}): Promise<{ readonly removed: number }> {
    this.#assertQueue(queue);
    const { type, expectedCount } = options;
    const messages = this.store.waiting({ queue, ...(type === undefined ? {} : { type }) });
    if (expectedCount !== undefined && expectedCount !== messages.length)
      throw new CountMismatchError(queue, expectedCount, messages.length);
    this.store.remove(messages);
    return { removed: messages.length };
  }

  #assertQueue(queue: string): void {
    this.assertOpen();
    if (!this.store.has(queue)) throw new TransportError("QUEUE_NOT_FOUND", `there is no queue "${queue}"`, { details: { queue } });
  }
}
