import type { Logger, StopReason } from "@symphony/core";
import type { ConsumeControl } from "./run-consume.ts";

const STOP = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;

/** What a signal can do to whatever consumes. */
export type Controllable = Pick<ConsumeControl, "pause" | "resume"> & {
  stop(reason: StopReason, options?: { readonly deadlineMs?: number }): unknown;
  /** Absent: there is only one process, and nobody to take its place. */
  replaceAll?(cause: string): void;
};

export interface SignalHandling {
  /** Aborts on the first signal that asks to stop. */
  readonly stopping: AbortSignal;
  attach(control: Controllable): void;
  /** Gives the signals back. */
  release(): void;
}

/**
 * What `consume` does about signals: SIGTERM, SIGINT and SIGQUIT stop it, a second one does not wait for messages in
 * flight; SIGUSR2 pauses, SIGCONT resumes. SIGHUP replaces the worker processes one by one. A parent that gave a channel and
 * is gone counts as SIGTERM.
 */
export function handleSignals(logger: Logger): SignalHandling {
  const controller = new AbortController();
  let control: Controllable | undefined;
  const stop = (why: string): void => {
    const again = controller.signal.aborted;
    logger.info(
      { signal: why },
      again ? "asked to stop again: handing back what is in flight" : "asked to stop: finishing what is in flight",
    );
    controller.abort();
    void control?.stop("signal", again ? { deadlineMs: 0 } : {});
  };
  const pause = (signal: string): void => {
    logger.info({ signal }, "paused: receiving nothing until SIGCONT");
    control?.pause();
  };
  const resume = (signal: string): void => {
    logger.info({ signal }, "resumed");
    control?.resume();
  };
  const replace = (signal: string): void => {
    if (control?.replaceAll === undefined) logger.info({ signal }, "one process has no others to replace it meanwhile: going on");
    else control.replaceAll(signal);
  };
  const gone = (): void => stop("parent gone");
  const listeners: readonly (readonly [NodeJS.Signals, (signal: string) => void])[] = [
    ...STOP.map((signal) => [signal, stop] as const),
    ["SIGUSR2", pause],
    ["SIGCONT", resume],
    ["SIGHUP", replace],
  ];
  for (const [signal, listener] of listeners) process.on(signal, listener);
  if (process.connected) process.once("disconnect", gone);
  return {
    stopping: controller.signal,
    attach: (started) => {
      control = started;
      if (controller.signal.aborted) void control.stop("signal");
    },
    release: () => {
      for (const [signal, listener] of listeners) process.off(signal, listener);
      process.off("disconnect", gone);
      // Without this the channel would keep a process alive that is done.
      if (process.connected) process.disconnect();
    },
  };
}
