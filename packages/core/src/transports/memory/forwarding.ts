import {
  type CarryHome,
  type DeadLetterParcel,
  type Forwardable,
  foreignQueue,
  parseForeignQueue,
} from "../../failure-transport/forwarding.ts";
import { MemoryControl } from "./control.ts";
import { decode } from "./decode.ts";
import { toParcel } from "./parcel.ts";

/** The part of a memory transport that passes dead letters on, and keeps those of others. */
export abstract class MemoryForwarding extends MemoryControl implements Forwardable {
  async exportDeadLetters(limit: number): Promise<readonly DeadLetterParcel[]> {
    this.assertOpen();
    const own = this.store.deadLetters.find({}).filter(({ message }) => parseForeignQueue(message.queue) === undefined);
    return own.slice(0, limit).map(toParcel);
  }

  async importDeadLetters(parcels: readonly DeadLetterParcel[], from?: string): Promise<void> {
    this.assertOpen();
    for (const parcel of parcels) {
      const { id, body, priority, failure } = parcel;
      const failedAt = Date.parse(parcel.failedAt);
      const known = this.store.deadLetters.find({ ids: [id] })[0];
      if (known !== undefined && known.failedAt >= failedAt) continue;
      if (known !== undefined) this.store.deadLetters.delete(known);
      const type = decode(this.serializer, body).envelope?.message.type ?? null;
      const keys = { key: parcel.idempotencyKey, partition: parcel.partitionKey, deduplicate: undefined };
      const queue = foreignQueue(from, parcel.queue);
      const message = { id, queue, type: type ?? "", priority, ...keys, body, age: 0, readyAt: failedAt, lease: undefined };
      this.store.deadLetters.add(message, { failure, type }, failedAt);
    }
  }

  async forgetDeadLetters(letters: readonly Pick<DeadLetterParcel, "id" | "failedAt">[]): Promise<readonly string[]> {
    this.assertOpen();
    const times = new Map(letters.map(({ id, failedAt }) => [id, Date.parse(failedAt)]));
    const same = this.store.deadLetters
      .find({ ids: [...times.keys()] })
      .filter(({ message, failedAt }) => times.get(message.id) === failedAt);
    for (const letter of same) this.store.deadLetters.delete(letter);
    return same.map(({ message }) => message.id);
  }

  sendHomeBy(carry: CarryHome): void {
    this.store.carryHome = carry;
  }
}
