import type { Clock, Logger, StopReason, Timer } from "@symphony/core";
import type { PodEvent } from "@symphony/kubernetes";
import type { FleetState } from "@symphony/worker-runner";
import type { Environment } from "../environment.ts";
import { EXIT, exitCodeOf } from "../exit-codes.ts";
import { messageOf } from "../failure.ts";
import { redact, secretsOf } from "../mask.ts";

/** Where events go; it never throws, and waits only at the end. */
export interface EventSink {
  say(event: PodEvent): void;
  flush(withinMs: number): Promise<void>;
}

export interface FleetEventsOptions {
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly environment: Environment;
}

/** Milliseconds. */
const LOOK_EVERY_MS = 5_000;
/** Starts in a row that came to nothing; one may be bad luck. */
const LOOP = 3;
/** Milliseconds for the last words: the end of a fleet waits for nobody. */
const LAST_WORDS_MS = 500;

/** Tells Kubernetes what `kubectl describe pod` should show of a fleet: that it drained, and why it does not come up. */
export class FleetEvents {
  readonly #o: FleetEventsOptions;
  #timer: Timer | undefined;

  constructor(options: FleetEventsOptions) {
    this.#o = options;
  }

  /** Looks at the fleet now and then, until it is closed. */
  watch(state: () => Pick<FleetState, "crashLoop" | "lastBootError" | "stopping">): void {
    const look = (): void => {
      const { crashLoop, lastBootError, stopping } = state();
      if (crashLoop >= LOOP && !stopping) {
        const cause = lastBootError === null ? "" : `: ${lastBootError}`;
        this.#say("CrashLoop", "Warning", `${crashLoop} starts of a worker process in a row came to nothing${cause}`);
      }
      this.#timer = this.#o.clock.schedule(LOOK_EVERY_MS, look, { unref: true });
    };
    this.#timer = this.#o.clock.schedule(LOOK_EVERY_MS, look, { unref: true });
  }

  drained({ reason, processed, failed }: { readonly reason: StopReason; readonly processed: number; readonly failed: number }): void {
    this.#say("Drained", "Normal", `the fleet has stopped (${reason}): ${processed} attempts since its start, ${failed} of them failed`);
  }

  failed(error: unknown): void {
    if (exitCodeOf(error) === EXIT.schema) this.#say("SchemaMismatch", "Warning", messageOf(error));
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#o.sink.flush(LAST_WORDS_MS);
  }

  #say(reason: string, type: PodEvent["type"], text: string): void {
    const { sink, environment } = this.#o;
    sink.say({ reason, type, note: redact(text, secretsOf(environment.DATABASE_URL ?? "")) });
  }
}

/** For this pod; undefined, with a warning, where there is no pod, or no right to speak of it. */
export async function openFleetEvents(environment: Environment, clock: Clock, logger: Logger): Promise<FleetEvents | undefined> {
  const { POD_NAME: name, POD_UID: uid } = environment;
  // Loaded here: a fleet that writes no events needs none of it.
  const { createApi, EventWriter, inClusterAddress } = await import("@symphony/kubernetes");
  try {
    if (name === undefined || uid === undefined) throw new Error("POD_NAME and POD_UID are not set");
    const api = createApi(inClusterAddress(environment));
    return new FleetEvents({ sink: new EventWriter({ api, pod: { name, uid }, clock, logger }), clock, environment });
  } catch (error) {
    logger.warn({ reason: (error as Error).message }, "SYMPHONY_KUBERNETES_EVENTS is set, and no Kubernetes Events can be written");
    return undefined;
  }
}
