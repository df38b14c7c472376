import { type MessengerError, NAME_PATTERN, TransportError } from "@symphony/core";
import type { PgBossOptions } from "./options.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import type { SetUp } from "./setup.ts";

export interface QueueMakerInput {
  readonly options: PgBossOptions;
  readonly setUp: SetUp;
  readonly queues: QueueDirectory;
  /** Queues that set-up looks after, and those among them that are prepared for keys; what is made here is added. */
  readonly names: Set<string>;
  readonly keyed: Set<string>;
}

/** Makes and prepares queues when a message needs it, where `autoSetup` allows that. */
export class QueueMaker {
  readonly #input: QueueMakerInput;
  readonly #made = new Map<string, Promise<boolean>>();

  constructor(input: QueueMakerInput) {
    this.#input = input;
  }

  /** Makes a queue that a message names and nobody has set up; once, however many messages name it. False: it may not. */
  make(queue: string): Promise<boolean> {
    const { options, names } = this.#input;
    if (options.autoSetup !== true || !NAME_PATTERN.test(queue)) return Promise.resolve(false);
    return this.#once(queue, () => names.add(queue));
  }

  /**
   * Prepares a queue for partition and deduplication keys. Resolves with why it cannot have them.
   *
   * @param mayMake - False inside a transaction of the caller: preparing would wait for its end.
   */
  async prepareKeys(queue: string, mayMake: boolean): Promise<MessengerError | undefined> {
    const { queues, keyed } = this.#input;
    let found = await queues.find(queue);
    if (found === undefined && mayMake && (await this.make(queue))) found = await queues.find(queue);
    // What does not exist is refused by whoever stores the message.
    if (found === undefined || found.keyed) return undefined;
    if (!found.partitioned) return refusal(queue, "shares its table with other queues, so it cannot have keys");
    // Perhaps somebody else has prepared it since we looked.
    await queues.refresh();
    if ((await this.#isKeyed(queue)) || (mayMake && (await this.#prepare(queue, keyed)))) return undefined;
    return refusal(queue, "is not prepared for partitionKey and deduplicate: name it in `keyedQueues` and run `symphony setup`");
  }

  async #prepare(queue: string, keyed: Set<string>): Promise<boolean> {
    if (this.#input.options.autoSetup !== true) return false;
    keyed.add(queue);
    await this.#once(queue, () => undefined);
    // Another one may have been making the queue, and did not know of the keys.
    if (!(await this.#isKeyed(queue))) await this.#once(queue, () => undefined);
    return this.#isKeyed(queue);
  }

  async #isKeyed(queue: string): Promise<boolean> {
    const found: QueueInfo | undefined = await this.#input.queues.find(queue);
    return found?.keyed === true;
  }

  #once(queue: string, done: () => void): Promise<boolean> {
    const known = this.#made.get(queue);
    if (known !== undefined) return known;
    const making = this.#input.setUp.run([queue]).then(async () => {
      await this.#input.queues.refresh();
      done();
      return true;
    });
    this.#made.set(queue, making);
    // Whoever missed it a moment ago asks again, and finds that nothing is missing.
    return making.finally(() => this.#made.delete(queue));
  }
}

const refusal = (queue: string, why: string): TransportError =>
  new TransportError("CAPABILITY_MISSING", `the queue "${queue}" ${why}`, { details: { queue } });
