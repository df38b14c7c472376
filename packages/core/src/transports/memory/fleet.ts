import type { Redrivable, RedriveStore } from "../../redrive/redrives.ts";
import type { RequestKeeping, RequestStore } from "../../request-keeper.ts";
import type { Schedulable, ScheduleStore } from "../../schedules/store.ts";
import type { Serializer } from "../../serializer.ts";
import type { FleetNews, Reapable, Receipt, Received, Supervisable, WorkerInfo, WorkerPulse, WorkerRow } from "../../transport.ts";
import { toReceived } from "./decode.ts";
import { countInterruption, raiseSuspicion } from "./record.ts";
import type { MemoryStore } from "./store.ts";
import type { StoredMessage } from "./stored-message.ts";

/** The part of a memory transport that knows workers and schedules: who beats, what becomes of the messages of those who do not, what is due. */
export abstract class MemoryFleet implements Reapable, Supervisable, Schedulable, Redrivable, RequestKeeping {
  protected readonly store: MemoryStore;
  protected readonly serializer: Serializer;

  constructor(store: MemoryStore, serializer: Serializer) {
    this.store = store;
    this.serializer = serializer;
  }

  protected abstract assertOpen(): void;

  get redrives(): RedriveStore {
    return this.store.redrives;
  }

  get requests(): RequestStore {
    return this.store.requests;
  }

  get schedules(): ScheduleStore {
    return this.store.schedules;
  }

  async beat(worker: WorkerInfo, inFlight: number): Promise<boolean> {
    this.assertOpen();
    return this.store.workers.beat(worker, inFlight);
  }

  async reap(olderThanMs: number): Promise<{ workers: readonly string[]; messages: number }> {
    this.assertOpen();
    const { workers, messages } = this.store.workers.strikeOff(olderThanMs);
    this.#takeBack(messages, countInterruption);
    return { workers, messages: messages.length };
  }

  async retire(workerId: string): Promise<{ messages: number }> {
    this.assertOpen();
    const messages = this.store.workers.remove(workerId);
    this.#takeBack(messages, countInterruption);
    return { messages: messages.length };
  }

  async listWorkers(): Promise<readonly WorkerRow[]> {
    this.assertOpen();
    return this.store.workers.list();
  }

  async pulse(workers: readonly WorkerPulse[]): Promise<FleetNews> {
    this.assertOpen();
    const news = this.store.workers.news();
    const lost = workers.filter(({ worker, inFlight }) => !this.store.workers.beat(worker, inFlight));
    return { ...news, lost: lost.map(({ worker }) => worker.workerId) };
  }

  async requestStop(): Promise<void> {
    this.assertOpen();
    this.store.workers.requestStop();
  }

  async hasReady(queues?: readonly string[]): Promise<boolean> {
    this.assertOpen();
    return this.store.hasReady(queues);
  }

  async retireAsSuspects(workerId: string): Promise<{ messages: number }> {
    this.assertOpen();
    const messages = this.store.workers.remove(workerId);
    this.#takeBack(messages, (body) => raiseSuspicion(countInterruption(body)));
    return { messages: messages.length };
  }

  async adopt(receipts: readonly Receipt[], workerId: string): Promise<readonly Received[]> {
    this.assertOpen();
    return receipts.flatMap((receipt) => {
      const message = this.store.leased(receipt);
      if (message === undefined) return [];
      this.store.pass(message, workerId);
      return [toReceived(this.serializer, message)];
    });
  }

  #takeBack(messages: readonly StoredMessage[], note: (body: string) => string): void {
    for (const message of messages) {
      message.body = note(message.body);
      this.store.giveBack(message, 0);
    }
    this.store.wake(messages.map((message) => message.queue));
  }
}
