import type { Cancellable, Findable, Logger, Pausable, PauseTarget, Purgeable, PurgeOptions, Receipt, Runtime } from "@symphony/core";
import type { Bundles } from "./bundles.ts";
import type { Database } from "./connection.ts";
import type { Lane } from "./lane.ts";
import { MessageControl } from "./message-control.ts";
import type { Notifier } from "./notifier.ts";
import { Pauses } from "./pauses.ts";
import { QueueControl } from "./queue-control.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { WakeUp } from "./wakeup.ts";

export interface ControlInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly laneOf: (queue: QueueInfo) => Lane;
  readonly bundles: Bundles;
  readonly notifier: Notifier;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly schema: string;
}

/** What operators do to queues and messages, and how workers hear of it. */
export class Control {
  readonly pauses: Pauses;
  readonly queues: QueueControl;
  readonly messages: MessageControl;
  readonly wakeUp: WakeUp;

  constructor(input: ControlInput) {
    this.pauses = new Pauses(input);
    this.wakeUp = new WakeUp(input);
    this.pauses.onNews(() => this.wakeUp.tellCancelled());
    this.queues = new QueueControl({ ...input, pauses: this.pauses });
    this.messages = new MessageControl({ ...input, wakeUp: this.wakeUp });
  }
}

/** The part of a transport that operators turn. */
export abstract class Controlled implements Pausable, Purgeable, Findable, Cancellable {
  protected abstract readonly control: Control;

  pauseQueue(target: PauseTarget, by?: string) {
    return this.control.queues.pauseQueue(target, by);
  }

  resumeQueue(target: PauseTarget) {
    return this.control.queues.resumeQueue(target);
  }

  listPauses() {
    return this.control.queues.listPauses();
  }

  countPurgeable(target: PauseTarget) {
    return this.control.queues.countPurgeable(target);
  }

  purgeQueue(queue: string, options?: PurgeOptions) {
    return this.control.queues.purgeQueue(queue, options);
  }

  findMessage(id: string) {
    return this.control.messages.findMessage(id);
  }

  cancelMessage(id: string, by?: string) {
    return this.control.messages.cancelMessage(id, by);
  }

  findCancelled(receipts: readonly Receipt[]) {
    return this.control.messages.findCancelled(receipts);
  }

  onCancel(listener: () => void) {
    return this.control.messages.onCancel(listener);
  }
}
