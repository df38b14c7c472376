import { type Clock, type Logger, toErrorRecord } from "@symphony/core";
import type { KubernetesApi } from "./api-client.ts";

/** Something about a pod that `kubectl describe` should show. */
export interface PodEvent {
  /** One word in capitals and small letters, as Kubernetes' own: `Drained`. */
  readonly reason: string;
  readonly type: "Normal" | "Warning";
  /** For people. */
  readonly note: string;
}

export interface EventWriterOptions {
  readonly api: KubernetesApi;
  readonly pod: { readonly name: string; readonly uid: string };
  readonly clock: Clock;
  readonly logger: Logger;
  /** Distinguishes the names of events. Default: random. */
  readonly random?: () => number;
}

const CONTROLLER = "symphony-messenger/fleet";
/** Milliseconds between two events of one reason. */
const SAME_REASON_MS = 300_000;
/** Events in so many milliseconds, of all reasons. */
const MOST = 10;
const WINDOW_MS = 600_000;
/** What Kubernetes takes. */
const LONGEST_NOTE = 1_024;

/**
 * Writes Events about a pod, as a favour: it never waits, never throws, and says little. Of one reason there is at most one
 * in five minutes, of all at most ten in ten minutes; what an API server refuses or does not answer is logged and forgotten.
 */
export class EventWriter {
  readonly #o: EventWriterOptions;
  readonly #saidAt = new Map<string, number>();
  #recent: number[] = [];
  #writing: Promise<void> = Promise.resolve();

  constructor(options: EventWriterOptions) {
    this.#o = options;
  }

  say(event: PodEvent): void {
    const now = this.#o.clock.monotonic();
    this.#recent = this.#recent.filter((at) => now - at < WINDOW_MS);
    const before = this.#saidAt.get(event.reason);
    if (this.#recent.length >= MOST || (before !== undefined && now - before < SAME_REASON_MS)) return;
    this.#recent.push(now);
    this.#saidAt.set(event.reason, now);
    const body = this.#bodyOf(event);
    // One after the other: a slow API server has one request of ours to answer.
    this.#writing = this.#writing.then(() => this.#write(body, event.reason));
  }

  /** Resolves when what was said is written, or this many milliseconds have passed. */
  async flush(withinMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = this.#o.clock.schedule(withinMs, late.resolve);
    await Promise.race([this.#writing, late.promise]);
    timer.cancel();
  }

  async #write(body: object, reason: string): Promise<void> {
    const { api, logger } = this.#o;
    try {
      await api.post(`/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(api.namespace)}/events`, body);
    } catch (error) {
      logger.warn({ err: toErrorRecord(error), reason }, "a Kubernetes Event could not be written");
    }
  }

  #bodyOf({ reason, type, note }: PodEvent): object {
    const { api, pod, clock, random = Math.random } = this.#o;
    const { namespace } = api;
    const unique = Math.floor(random() * 2 ** 48)
      .toString(16)
      .padStart(12, "0");
    return {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: `${pod.name.slice(0, 200)}.${unique}`, namespace },
      // Microseconds, as the API wants them.
      eventTime: new Date(clock.now()).toISOString().replace("Z", "000Z"),
      reportingController: CONTROLLER,
      reportingInstance: pod.name.slice(0, 128),
      action: reason,
      reason,
      type,
      note: cut(note),
      regarding: { apiVersion: "v1", kind: "Pod", name: pod.name, namespace, uid: pod.uid },
    };
  }
}

/** To what Kubernetes takes, in bytes, and not through a character. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= LONGEST_NOTE) return note;
  return `${bytes
    .subarray(0, LONGEST_NOTE - 4)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")}…`;
}
