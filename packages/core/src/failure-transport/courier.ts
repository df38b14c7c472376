import { backoffMs } from "../backoff.ts";
import type { Timer } from "../clock.ts";
import { toErrorRecord } from "../error-record.ts";
import { ConfigError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { isFindable } from "../message-control.ts";
import type { Messenger } from "../messenger.ts";
import { isListable, type Listable, type Transport } from "../transport.ts";
import { type Forwardable, isForwardable } from "./forwarding.ts";

export interface DeadLetterCourierOptions {
  /** Its configuration names the failure transports; whoever made it closes it. */
  readonly messenger: Messenger;
  readonly logger?: Logger;
}

/** Milliseconds between two looks for dead letters; one small statement per transport that has a failure transport. */
const LOOK_EVERY_MS = 1_000;
const AT_ONCE = 100;

interface Route {
  readonly from: string;
  readonly to: string;
  readonly timer: { current: Timer | undefined };
}

/**
 * Carries dead letters to the failure transports of their transports.
 *
 * A message becomes a dead letter where it is, in one commit, whatever is the matter with the failure transport; only
 * then it is copied there, and only then removed here. So it is never lost: while the failure transport is away, it can
 * be seen and redriven in its own. Any number of processes may run one; a letter that two carry arrives once.
 */
export class DeadLetterCourier {
  readonly #messenger: Messenger;
  readonly #logger: Logger;
  readonly #routes: readonly Route[];
  readonly #underWay = new Set<Promise<void>>();
  #stopped = false;

  /** @throws {ConfigError} `CONFIG_INVALID`: one of the transports cannot pass on dead letters, or keep them. */
  constructor({ messenger, logger = messenger.logger }: DeadLetterCourierOptions) {
    this.#messenger = messenger;
    this.#logger = logger;
    this.#routes = messenger.transportNames.flatMap((from) => {
      const to = messenger.config.transports[from]?.failureTransport;
      if (to === undefined) return [];
      for (const name of [from, to]) storeOf(messenger, name);
      return [{ from, to, timer: { current: undefined } }];
    });
  }

  start(): void {
    for (const route of this.#routes) this.#look(route, 0);
  }

  /** Resolves when nothing of it runs any more. Idempotent; never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#routes) timer.current?.cancel();
    await Promise.all(this.#underWay);
  }

  /**
   * Carries everything that is there now; resolves with how many letters.
   *
   * @throws {TransportError} one of the stores is away: what was not carried stays where it was.
   */
  async carry(): Promise<number> {
    let carried = 0;
    for (const route of this.#routes) carried += await this.#carryAll(route);
    return carried;
  }

  #look(route: Route, failures: number): void {
    if (this.#stopped) return;
    const work = this.#carryAll(route).then(
      () => 0,
      (error: unknown) => {
        const { from, to } = route;
        this.#logger.warn({ err: toErrorRecord(error), transport: from, failure_transport: to }, "dead letters could not be carried");
        return failures + 1;
      },
    );
    const done = work.then((failed) => {
      this.#underWay.delete(done);
      if (this.#stopped) return;
      const { clock, random } = this.#messenger.runtime;
      const pauseMs = LOOK_EVERY_MS + (failed === 0 ? 0 : backoffMs(failed, random));
      route.timer.current = clock.schedule(pauseMs, () => this.#look(route, failed), { unref: true });
    });
    this.#underWay.add(done);
  }

  async #carryAll({ from, to }: Route): Promise<number> {
    const [source, target] = [storeOf(this.#messenger, from), storeOf(this.#messenger, to)];
    let carried = 0;
    while (!this.#stopped) {
      const parcels = await source.exportDeadLetters(AT_ONCE);
      if (parcels.length === 0) break;
      await target.importDeadLetters(parcels, from);
      const gone = new Set(await source.forgetDeadLetters(parcels));
      carried += gone.size;
      // Another courier was faster, which is as well; or somebody redrove it meanwhile, and it must not be there, too.
      for (const parcel of parcels) {
        if (gone.has(parcel.id) || !(await isAlive(source, parcel.id))) continue;
        await target.forgetDeadLetters([parcel]);
      }
    }
    return carried;
  }
}

async function isAlive(transport: Transport, id: string): Promise<boolean> {
  const state = isFindable(transport) ? (await transport.findMessage(id))?.state : undefined;
  return state === "waiting" || state === "scheduled" || state === "active";
}

/** @throws {ConfigError} `CONFIG_INVALID` */
function storeOf(messenger: Messenger, name: string): Transport & Listable & Forwardable {
  const transport = messenger.transport(name);
  if (isForwardable(transport) && isListable(transport)) return transport;
  throw new ConfigError(`transport "${name}" cannot pass on or keep dead letters: it must have a failure transport no more, nor be one`);
}
