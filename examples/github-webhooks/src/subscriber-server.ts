import type { IncomingMessage, ServerResponse } from "node:http";
import { type Clock, systemClock, type Timer } from "@symphony/core";
import { behaviourOf } from "./behaviour.ts";
import { type Listening, listen, readBody } from "./http.ts";
import { SUBSCRIBER_SECRET } from "./settings.ts";
import { isSignedWith } from "./signature.ts";
import { type Behaviour, SUBSCRIBERS } from "./subscribers.ts";

/** What the subscribers saw of one run: counted at the other end of the wire, to be held against what we believe. */
export interface SubscriberFigures {
  /** Requests by what was done with them. */
  readonly requests: ReadonlyMap<Behaviour | "forged", number>;
  /** Ids of the webhooks that were taken. */
  readonly accepted: ReadonlySet<string>;
  /** Webhooks that were taken before and came again. */
  readonly repeated: number;
}

export interface SubscriberServer extends Listening {
  /** From now on every subscriber is well and answers at once. */
  repair(): void;
  figures(): SubscriberFigures;
}

const MAX_BODY_BYTES = 100_000;
/** Longer than the sender waits. */
const SLOW_ANSWER_MS = 2_000;
const SEED = "2018-11-06";

/** The receiving ends of our outgoing webhooks, one path for each; they misbehave as `subscribers.ts` says. */
export async function startSubscriberServer(options: {
  port: number;
  /** Only this run's webhooks are counted; what an earlier one left behind is answered all the same. */
  runId: string;
  seed?: string;
  clock?: Clock;
}): Promise<SubscriberServer> {
  const hall = new SubscriberHall(options.runId, options.seed ?? SEED, options.clock ?? systemClock);
  const listening = await listen((request, response) => void hall.answer(request, response), options.port);
  return {
    url: listening.url,
    repair: () => hall.repair(),
    figures: () => hall.figures(),
    close: async () => {
      hall.close();
      await listening.close();
    },
  };
}

class SubscriberHall {
  readonly #runId: string;
  readonly #seed: string;
  readonly #clock: Clock;
  readonly #requests = new Map<Behaviour | "forged", number>();
  readonly #accepted = new Set<string>();
  readonly #timers = new Set<Timer>();
  #repeated = 0;
  #repaired = false;

  constructor(runId: string, seed: string, clock: Clock) {
    this.#runId = runId;
    this.#seed = seed;
    this.#clock = clock;
  }

  repair(): void {
    this.#repaired = true;
  }

  figures(): SubscriberFigures {
    return { requests: this.#requests, accepted: this.#accepted, repeated: this.#repeated };
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch {
      // The sender hung up in the middle: nobody is left to answer.
      request.destroy();
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const subscriber = SUBSCRIBERS.find((one) => `/${one.name}` === request.url);
    if (subscriber === undefined) {
      response.writeHead(404).end();
      return;
    }
    const body = await readBody(request, MAX_BODY_BYTES);
    if (!isSignedWith(header(request, "x-webhook-signature"), body, SUBSCRIBER_SECRET)) {
      this.#count("forged");
      response.writeHead(401).end();
      return;
    }
    const dice = {
      seed: this.#seed,
      checksum: header(request, "x-webhook-checksum"),
      attempt: Number(header(request, "x-webhook-attempt")),
    };
    const behaviour = this.#repaired ? "fine" : behaviourOf(subscriber, dice);
    const id = header(request, "x-webhook-id");
    if (header(request, "x-webhook-run") === this.#runId) {
      this.#count(behaviour);
      if (behaviour === "fine") this.#accept(id);
    }
    this.#behave(behaviour, id, response);
  }

  #accept(id: string): void {
    if (this.#accepted.has(id)) this.#repeated += 1;
    this.#accepted.add(id);
  }

  #behave(behaviour: Behaviour, id: string, response: ServerResponse): void {
    switch (behaviour) {
      case "fine":
        response.writeHead(200).end(id);
        return;
      case "slow": {
        const timer = this.#clock.schedule(SLOW_ANSWER_MS, () => {
          this.#timers.delete(timer);
          response.writeHead(504).end();
        });
        this.#timers.add(timer);
        return;
      }
      case "server error":
        response.writeHead(500).end();
        return;
      case "wrong answer":
        response.writeHead(200).end("ok");
        return;
      case "hangs up":
      case "down":
        response.destroy();
        return;
    }
  }

  #count(what: Behaviour | "forged"): void {
    this.#requests.set(what, (this.#requests.get(what) ?? 0) + 1);
  }
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
}
