import { EventEmitter } from "node:events";
import type { ScheduleEvents } from "../events.ts";
import type { Logger } from "../logger.ts";
import type { Messenger } from "../messenger.ts";
import { ScheduleKeeper } from "./keeper.ts";
import { placeSchedules } from "./placement.ts";
import { ScheduleReport } from "./report.ts";

export interface SchedulerOptions {
  /** Its configuration names the schedules; whoever made it closes it. */
  readonly messenger: Messenger;
  readonly logger?: Logger;
}

/**
 * Dispatches the messages of all schedules in the configuration when they are due. Any number of processes may run one:
 * each due time is dispatched once, by whichever comes first, also when processes are killed in the middle. Nothing
 * runs, and no statement is sent, while there are no schedules.
 *
 * The clock of the store decides what is due. Payloads are made in this process.
 */
export class Scheduler extends EventEmitter<ScheduleEvents> {
  readonly #keepers: readonly ScheduleKeeper[];
  #stopping: Promise<void> | undefined;

  /**
   * @throws {ConfigError} `CONFIG_INVALID`: a schedule's message goes to no transport or to several.
   * @throws {TransportError} `CAPABILITY_MISSING`: its transport cannot keep schedules.
   */
  constructor({ messenger, logger = messenger.logger }: SchedulerOptions) {
    super();
    const report = new ScheduleReport({ emitter: this, logger, meter: messenger.meter });
    this.#keepers = placeSchedules(messenger).map((placement) => new ScheduleKeeper(messenger, placement, report));
  }

  start(): void {
    for (const keeper of this.#keepers) keeper.start();
  }

  /** Ends what is under way and lets others take over at once. Idempotent; never rejects. */
  stop(): Promise<void> {
    this.#stopping ??= Promise.all(this.#keepers.map((keeper) => keeper.stop())).then(() => undefined);
    return this.#stopping;
  }

  /**
   * Dispatches what is due now, once, instead of `start`: for a program that a timer calls and that does not stay.
   * Resolves with the number of messages. Call `stop` afterwards.
   */
  async runDue(): Promise<number> {
    const counts = await Promise.all(this.#keepers.map((keeper) => keeper.runDue()));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}
