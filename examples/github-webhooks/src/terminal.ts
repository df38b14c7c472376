/** Paints text for a terminal; without colours it leaves the text alone. */
export interface Palette {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly green: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

const paint = (on: number, off: number) => (text: string) => `\u001b[${on}m${text}\u001b[${off}m`;
const leave = (text: string): string => text;

export const COLOURS: Palette = {
  bold: paint(1, 22),
  dim: paint(2, 22),
  green: paint(32, 39),
  red: paint(31, 39),
  yellow: paint(33, 39),
  cyan: paint(36, 39),
};
export const PLAIN: Palette = { bold: leave, dim: leave, green: leave, red: leave, yellow: leave, cyan: leave };

/** Colours belong on a terminal, and nowhere when the user has said so (no-color.org). */
export function paletteFor(stream: { isTTY?: boolean }, environment: NodeJS.ProcessEnv = process.env): Palette {
  const refused = environment.NO_COLOR !== undefined && environment.NO_COLOR !== "";
  return stream.isTTY === true && !refused && environment.TERM !== "dumb" ? COLOURS : PLAIN;
}

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of `width` columns, filled for `share` (0 to 1). */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(Math.max(share, 0), 1) * width * 8);
  const full = Math.floor(eighths / 8);
  return `${"█".repeat(full)}${EIGHTHS[eighths % 8] ?? ""}`.padEnd(width, "░");
}

const BLOCKS = "▁▂▃▄▅▆▇█";

/** The last `width` values as a curve, scaled to the highest of them. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const highest = Math.max(1, ...shown);
  return shown
    .map((value) => BLOCKS.charAt(Math.round((Math.max(0, value) / highest) * (BLOCKS.length - 1))))
    .join("")
    .padStart(width);
}

/** Columns that text takes, escape sequences not counted. All that we print is one column a character. */
export function widthOf(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC begins the sequences
  return [...text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "")].length;
}

export const padEnd = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - widthOf(text)));
export const padStart = (text: string, width: number): string => " ".repeat(Math.max(0, width - widthOf(text))) + text;

/** Draws a frame around lines, `width` columns wide on the outside. */
export function box(title: string, lines: readonly string[], width: number, palette: Palette): string[] {
  const inner = width - 4;
  const { dim } = palette;
  return [
    `${dim("╭─")} ${palette.bold(title)} ${dim(`${"─".repeat(Math.max(0, inner - widthOf(title) - 1))}╮`)}`,
    ...lines.map((line) => `${dim("│")} ${padEnd(line, inner)} ${dim("│")}`),
    dim(`╰${"─".repeat(width - 2)}╯`),
  ];
}
