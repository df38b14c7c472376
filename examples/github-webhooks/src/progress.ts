import { bar, box, type Palette, padEnd, padStart, sparkline, widthOf } from "./terminal.ts";

/** What is known at one moment; drawn many times a second on a terminal, a line each second elsewhere. */
export interface Snapshot {
  /** What the program is doing now, in a few words. */
  readonly phase: string;
  readonly elapsedMs: number;
  /** Done and known so far, per kind of work. */
  readonly lanes: readonly { readonly name: string; readonly done: number; readonly total: number }[];
  readonly waiting: { readonly ready: number; readonly scheduled: number; readonly inFlight: number };
  readonly deadLetters: number;
  /** Handled in total; the display makes the rate of it. */
  readonly handled: number;
  /** Milliseconds from dispatch to the end of the handler: half, 95 % and 99 % of the webhooks were faster. */
  readonly latencyMs: readonly [p50: number, p95: number, p99: number] | null;
  /** Failed attempts so far, by reason. */
  readonly failures: readonly (readonly [reason: string, times: number])[];
}

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const WIDTH = 78;
const NARROWEST = 60;
const NAME_COLUMNS = 22;
const HISTORY = 24;
/** The rate is that of the last two seconds: shorter flickers, longer lags behind. */
const RATE_WINDOW_MS = 2_000;
const LINE_EVERY_MS = 1_000;
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";

/** Draws snapshots in place on a terminal; writes a line a second where there is none. */
export class Progress {
  readonly #output: Output;
  readonly #palette: Palette;
  readonly #samples: { atMs: number; handled: number }[] = [];
  readonly #rates: number[] = [];
  #drawnLines = 0;
  #lastLineAtMs = Number.NEGATIVE_INFINITY;
  #lastLine = "";

  constructor(output: Output, palette: Palette) {
    this.#output = output;
    this.#palette = palette;
  }

  show(snapshot: Snapshot): void {
    const rate = this.#rate(snapshot);
    if (this.#output.isTTY === true) this.#draw(snapshot, rate);
    else if (snapshot.elapsedMs - this.#lastLineAtMs >= LINE_EVERY_MS) this.#writeLine(snapshot, rate);
  }

  /** Writes a line that stays: above the picture on a terminal. */
  note(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
  }

  /** Leaves the last picture where it is. Idempotent. */
  finish(): void {
    if (this.#drawnLines > 0) this.#output.write(SHOW_CURSOR);
    this.#drawnLines = 0;
  }

  #rate({ elapsedMs, handled }: Snapshot): number {
    this.#samples.push({ atMs: elapsedMs, handled });
    while ((this.#samples[0]?.atMs ?? elapsedMs) < elapsedMs - RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    const rate = first === undefined || first.atMs === elapsedMs ? 0 : ((handled - first.handled) * 1000) / (elapsedMs - first.atMs);
    this.#rates.push(rate);
    if (this.#rates.length > HISTORY) this.#rates.shift();
    return rate;
  }

  #draw(snapshot: Snapshot, rate: number): void {
    // Wider than the window, lines would wrap, and the next picture would be drawn over the wrong ones.
    const width = Math.min(WIDTH, Math.max(NARROWEST, (this.#output.columns ?? WIDTH) - 1));
    const lines = frame(snapshot, { rate, rates: this.#rates, width, palette: this.#palette });
    const up = this.#drawnLines > 0 ? `\u001b[${this.#drawnLines}A` : HIDE_CURSOR;
    const leftOver = Math.max(0, this.#drawnLines - lines.length);
    this.#output.write(`${up}\u001b[0J${lines.map((line) => `${line}\n`).join("")}${leftOver > 0 ? "\u001b[0J" : ""}`);
    this.#drawnLines = lines.length;
  }

  #erase(): void {
    if (this.#drawnLines > 0) this.#output.write(`\u001b[${this.#drawnLines}A\u001b[0J${SHOW_CURSOR}`);
    this.#drawnLines = 0;
  }

  #writeLine(snapshot: Snapshot, rate: number): void {
    this.#lastLineAtMs = snapshot.elapsedMs;
    const line = oneLine(snapshot, rate);
    // While nothing happens (the program stays up) there is nothing to say.
    const content = line.slice(line.indexOf("s "));
    if (content === this.#lastLine) return;
    this.#lastLine = content;
    this.#output.write(`${line}\n`);
  }
}

/** A snapshot as a box with bars. Pure. */
export function frame(snapshot: Snapshot, o: { rate: number; rates: readonly number[]; width: number; palette: Palette }): string[] {
  const { palette } = o;
  const barColumns = o.width - NAME_COLUMNS - 22;
  const lanes = snapshot.lanes.map(({ name, done, total }) => {
    const share = total === 0 ? 0 : done / total;
    const drawn = bar(share, barColumns);
    return `${padEnd(name, NAME_COLUMNS)}${share >= 1 ? palette.green(drawn) : palette.cyan(drawn)} ${padStart(`${done} / ${total}`, 14)}`;
  });
  const { ready, scheduled, inFlight } = snapshot.waiting;
  const failures =
    snapshot.failures.length === 0
      ? palette.dim("none")
      : snapshot.failures.map(([reason, times]) => `${reason} ${palette.yellow(String(times))}`).join("  ");
  const label = (text: string): string => palette.dim(padEnd(text, 12));
  return box(
    `${snapshot.phase} · ${(snapshot.elapsedMs / 1000).toFixed(1)} s`,
    [
      ...lanes,
      "",
      `${label("rate")}${padStart(`${Math.round(o.rate)}/s`, 7)}  ${palette.cyan(sparkline(o.rates, HISTORY))}`,
      `${label("latency")}${latency(snapshot.latencyMs)}`,
      `${label("queues")}ready ${ready}  later ${scheduled}  in flight ${inFlight}  dead letters ${snapshot.deadLetters > 0 ? palette.red(String(snapshot.deadLetters)) : 0}`,
      ...wrap(failures, o.width - 16).map((line, i) => `${label(i === 0 ? "failures" : "")}${line}`),
    ],
    o.width,
    palette,
  );
}

/** A snapshot as one line, for logs. Pure. */
export function oneLine(snapshot: Snapshot, rate: number): string {
  const lanes = snapshot.lanes.map(({ name, done, total }) => `${name} ${done}/${total}`).join(", ");
  const { ready, scheduled, inFlight } = snapshot.waiting;
  const failures = snapshot.failures.map(([reason, times]) => `${reason} ${times}`).join(", ");
  return [
    `${padStart((snapshot.elapsedMs / 1000).toFixed(0), 4)} s  ${snapshot.phase}: ${lanes}`,
    `${Math.round(rate)}/s`,
    `latency ${latency(snapshot.latencyMs)}`,
    `ready ${ready}, later ${scheduled}, in flight ${inFlight}, dead letters ${snapshot.deadLetters}`,
    ...(failures === "" ? [] : [`failures: ${failures}`]),
  ].join(" | ");
}

function latency(values: Snapshot["latencyMs"]): string {
  if (values === null) return "–";
  return values.map((value, i) => `p${["50", "95", "99"][i]} ${milliseconds(value)}`).join("  ");
}

export const milliseconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Breaks between entries, which are separated by two spaces. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const entry of text.split("  ")) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + widthOf(entry) + 2 <= width) lines[lines.length - 1] = `${last}  ${entry}`;
    else lines.push(entry);
  }
  return lines;
}
