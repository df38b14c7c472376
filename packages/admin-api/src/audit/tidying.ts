import { type Clock, isAuditable, isRequestKeeping, type Logger, type Messenger, type Timer, toErrorRecord } from "@symphony/core";

const FIRST_MS = 60_000;
const EVERY_MS = 3_600_000;
/** Rounds of some thousand each, so that a backlog of years is worked off without holding up anything. */
const ROUNDS = 20;

/** Forgets records, trash and requests whose days are over: once a minute after the start, then every hour. */
export class Tidying {
  readonly #messenger: Messenger;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(o: { readonly messenger: Messenger; readonly clock: Clock; readonly logger: Logger }) {
    this.#messenger = o.messenger;
    this.#clock = o.clock;
    this.#logger = o.logger;
  }

  start(): void {
    this.#schedule(FIRST_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.schedule(delayMs, () => void this.#tidy().then(() => this.#schedule(EVERY_MS)), { unref: true });
  }

  async #tidy(): Promise<void> {
    for (const name of this.#messenger.transportNames) {
      const transport = this.#messenger.transport(name);
      try {
        let forgotten = 0;
        for (let round = 0, some = 1; some > 0 && round < ROUNDS && !this.#stopped; round += 1) {
          some = isAuditable(transport) ? await transport.tidyAudit() : 0;
          if (isRequestKeeping(transport)) some += await transport.requests.tidy();
          forgotten += some;
        }
        if (forgotten > 0) this.#logger.info({ transport: name, forgotten }, "old audit records, trash and requests were forgotten");
      } catch (error) {
        this.#logger.warn({ transport: name, err: toErrorRecord(error) }, "the audit could not be tidied; the next try is in an hour");
      }
    }
  }
}
