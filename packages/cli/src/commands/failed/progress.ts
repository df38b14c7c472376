import type { Redrive } from "@symphony/core";
import type { Io } from "../../io.ts";
import { duration } from "../../output.ts";

const WIDTH = 30;
/** Milliseconds between two drawings: nobody reads faster. */
const DRAW_EVERY_MS = 100;

export interface Progress {
  readonly show: (redrive: Redrive) => void;
  readonly end: () => void;
}

/** A bar on the terminal, drawn over itself; nothing where nobody is looking. */
export function redriveProgress(io: Io, { done, conflicts }: Redrive): Progress {
  if (!io.interactive) return { show: () => undefined, end: () => undefined };
  const start = { count: done + conflicts, at: io.clock.monotonic() };
  let drawnAt = Number.NEGATIVE_INFINITY;
  return {
    show(redrive) {
      const now = io.clock.monotonic();
      if (now - drawnAt < DRAW_EVERY_MS && redrive.state === "running") return;
      drawnAt = now;
      io.err(`\r\u001b[2K${bar(redrive, { count: start.count, ms: now - start.at })}`);
    },
    end: () => io.err("\n"),
  };
}

/** @param since - What had been done, and how long ago. */
export function bar(redrive: Redrive, since: { readonly count: number; readonly ms: number }): string {
  const count = redrive.done + redrive.conflicts;
  const all = Math.max(redrive.matching, count);
  const share = all === 0 ? 1 : count / all;
  const full = Math.round(share * WIDTH);
  const perSecond = since.ms <= 0 ? 0 : ((count - since.count) * 1_000) / since.ms;
  const left = perSecond > 0 && count < all ? `, ${duration(((all - count) / perSecond) * 1_000)} left` : "";
  const waits = redrive.canaryState === "waiting" && redrive.done > 0 ? ", waiting for the first" : "";
  const about = redrive.accuracy === "estimated" ? "~" : "";
  return `[${"#".repeat(full)}${"·".repeat(WIDTH - full)}] ${count}/${about}${all}, ${perSecond.toFixed(1)}/s${left}${waits}`;
}
