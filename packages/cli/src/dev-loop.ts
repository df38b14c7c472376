/** The end of a child. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Child {
  readonly ended: Promise<ChildEnd>;
  /** Asks it to finish; a second call asks it not to wait. */
  stop(): void;
}

export interface DevLoopOptions {
  readonly start: () => Child;
  /** Calls back after every change; returns the way to stop. */
  readonly watch: (changed: (paths: readonly string[]) => void) => () => void;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Keeps one child running, and replaces it after a change: the old one finishes first, as in a deployment. A child that
 * ends by itself is not started again before the next change; what is wrong with it would still be wrong.
 */
export async function devLoop(o: DevLoopOptions): Promise<void> {
  let changes: readonly string[] = [];
  let wake = Promise.withResolvers<"change">();
  const stopWatching = o.watch((paths) => {
    changes = paths;
    wake.resolve("change");
  });
  const aborted = new Promise<"abort">((resolve) => {
    if (o.signal.aborted) resolve("abort");
    else o.signal.addEventListener("abort", () => resolve("abort"), { once: true });
  });
  try {
    while (!o.signal.aborted) {
      wake = Promise.withResolvers<"change">();
      const child = o.start();
      const first = await Promise.race([aborted, wake.promise, child.ended]);
      if (first === "abort" || first === "change") {
        child.stop();
        await child.ended;
      } else {
        o.say(`stopped (${describe(first)}); waiting for a change`);
        await Promise.race([aborted, wake.promise]);
      }
      if (!o.signal.aborted) o.say(`restarting: ${changes.slice(0, 3).join(", ")}${changes.length > 3 ? ", …" : ""} changed`);
    }
  } finally {
    stopWatching();
  }
}

const describe = (end: ChildEnd): string => (end.signal === null ? `exit code ${end.code ?? "unknown"}` : end.signal);
