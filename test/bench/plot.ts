import { medianOf, valuesOf } from "./compete.ts";
import { number } from "./report.ts";
import type { Section } from "./workload.ts";

const WIDTH = 760;
const LABELS = 330;
const ROW = 30;
const TOP = 34;
const RIGHT = 90;

/** Bars of the medians, with lines from the least to the greatest; ours stand out. */
export function plot({ title, figure, figures, standings }: Section): string {
  const rows = standings.flatMap((standing) => {
    const values = valuesOf(standing, figure);
    const median = medianOf(standing, figure);
    return median === undefined ? [] : [{ standing, median, min: Math.min(...values), max: Math.max(...values) }];
  });
  const most = Math.max(...rows.map(({ max }) => max), Number.MIN_VALUE);
  const scale = (value: number): number => (value / most) * (WIDTH - LABELS - RIGHT);
  const height = TOP + rows.length * ROW + 10;
  const bars = rows.map(({ standing, median, min, max }, i) => {
    const [y, ours] = [TOP + i * ROW, standing.title.startsWith("Symphony") || standing.title.startsWith("symphony")];
    const middle = y + 11;
    return [
      `<text x="${LABELS - 8}" y="${y + 9}" text-anchor="end" font-weight="${ours ? "600" : "400"}">${escaped(standing.title)}</text>`,
      `<text x="${LABELS - 8}" y="${y + 21}" text-anchor="end" font-size="9" fill="#666">${escaped(standing.label)}</text>`,
      `<rect x="${LABELS}" y="${y}" width="${scale(median).toFixed(1)}" height="20" fill="${ours ? "#2563eb" : "#9ca3af"}"/>`,
      `<path d="M${(LABELS + scale(min)).toFixed(1)} ${middle}H${(LABELS + scale(max)).toFixed(1)}" stroke="#111" stroke-width="1.5"/>`,
      `<text x="${(LABELS + scale(max) + 6).toFixed(1)}" y="${y + 15}">${number(median)}</text>`,
    ].join("\n");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escaped(title)}: ${escaped(figures[figure] ?? figure)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="10" y="18" font-size="13" font-weight="600">${escaped(title)}: ${escaped(figures[figure] ?? figure)}</text>`,
    ...bars,
    "</svg>",
    "",
  ].join("\n");
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
