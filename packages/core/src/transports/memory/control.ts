import { CountMismatchError, TransportError } from "../../errors.ts";
import type { Cancellable, Cancellation, Findable, MessageState, MessageWhereabouts } from "../../message-control.ts";
import type { Pausable, Pause, PauseTarget, Purgeable, PurgeOptions } from "../../queue-control.ts";
import type { Receipt } from "../../transport.ts";
import { MemoryAudited } from "./audited.ts";
import type { StoredMessage } from "./stored-message.ts";

/** The part of a memory transport that an operator turns: pauses, purges, single messages. */
export abstract class MemoryControl extends MemoryAudited implements Pausable, Purgeable, Findable, Cancellable {
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

  async findMessage(id: string): Promise<MessageWhereabouts | undefined> {
    this.assertOpen();
    const { store } = this;
    const live = store.live(id);
    if (live !== undefined) {
      const { lease } = live;
      if (lease !== undefined) return { ...whereabouts(live, "active", lease.at), workerId: lease.workerId };
      return whereabouts(live, store.isDue(live) ? "waiting" : "scheduled", live.readyAt);
    }
    const [letter] = store.deadLetters.find({ ids: [id] });
    if (letter !== undefined) return whereabouts(letter.message, "failed", letter.failedAt);
    const cancelled = store.cancellations.find(id);
    if (cancelled !== undefined) return { ...whereabouts(cancelled.message, "cancelled", cancelled.at), cancelledBy: cancelled.by };
    const handled = store.handled.get(id);
    return handled === undefined ? undefined : whereabouts(handled.message, "handled", handled.at);
  }

  async cancelMessage(id: string, by?: string): Promise<Cancellation> {
    this.assertOpen();
    const done = this.store.cancel(id, by ?? null);
    if (done === undefined) {
      const found = await this.findMessage(id);
      return found === undefined
        ? { kind: "unknown" }
        : { kind: "over", queue: found.queue, state: found.state as "failed" | "handled" | "cancelled" };
    }
    const { queue } = done.message;
    return done.workerId === undefined ? { kind: "removed", queue } : { kind: "interrupted", queue, workerId: done.workerId };
  }

  async findCancelled(receipts: readonly Receipt[]): Promise<readonly Receipt[]> {
    this.assertOpen();
    return receipts.filter((receipt) => this.store.cancellations.has(receipt));
  }

  async onCancel(listener: () => void): Promise<() => Promise<void>> {
    this.assertOpen();
    const stop = this.store.cancellations.listen(() => listener());
    return async () => stop();
  }

  #assertQueue(queue: string): void {
    this.assertOpen();
    if (!this.store.has(queue)) throw new TransportError("QUEUE_NOT_FOUND", `there is no queue "${queue}"`, { details: { queue } });
  }
}

const whereabouts = ({ id, type, queue, priority }: StoredMessage, state: MessageState, at: number): MessageWhereabouts => ({
  id,
  type,
  queue,
  priority,
  state,
  at: new Date(at).toISOString(),
  workerId: null,
  cancelledBy: null,
});
