import type { Io } from "./io.ts";

/** Prints `value` as JSON when `--json` was given, else the text. */
export function print(io: Io, json: boolean, value: unknown, text: () => string): void {
  io.out(`${json ? JSON.stringify(value, null, 2) : text().trimEnd()}\n`);
}

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number;
  readonly align?: "right";
}

/** Rows under their titles, columns as wide as they need. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => columns.map((column) => oneLine(String(column.value(row)))))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]?.length ?? 0)));
  const toLine = (line: readonly string[]): string =>
    line
      .map((cell, i) => (columns[i]?.align === "right" ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  return cells.map(toLine).join("\n");
}

// What is stored comes from anywhere: no escape sequence of a message may reach the terminal, nor break the table.
export function oneLine(text: string, longest = 100): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to go
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").trim();
  return clean.length > longest ? `${clean.slice(0, longest - 1)}…` : clean;
}

/** Several lines, without escape sequences. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to go
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}

const STEPS: readonly (readonly [number, string])[] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
  [1_000, "s"],
];

/** A duration for people, its two largest units: `2h 5m`, `350ms`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`;
  const parts: string[] = [];
  let left = ms;
  for (const [size, unit] of STEPS) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0 || parts.length > 0) parts.push(n > 0 ? `${n}${unit}` : "");
    if (parts.length === 2) break;
  }
  return parts.filter((part) => part !== "").join(" ");
}

export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
