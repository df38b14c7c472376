import type { Answer } from "./scrape.ts";

const WIDTH = 380;
const HEIGHT = 170;
const COLUMNS = 3;
const PLOT = { left: 50, top: 30, right: 10, bottom: 40 };
const COLOURS = ["#3274d9", "#e0752d", "#299c46", "#d44a3a", "#8f3bb8", "#19a3a3", "#b7a000", "#7b7b7b"];

type Point = readonly [number, number];

/** What the panels of one dashboard show, as one SVG: a chart per panel. */
export function drawPanel(answers: readonly Answer[]): string {
  const panels = [...Map.groupBy(answers, ({ query }) => query.panel)];
  const rows = Math.ceil(panels.length / COLUMNS);
  const charts = panels.map(([title, some], at) => {
    const x = (at % COLUMNS) * WIDTH;
    const y = Math.floor(at / COLUMNS) * HEIGHT;
    return `<g transform="translate(${x},${y})">${chart(title, some)}</g>`;
  });
  const [width, height] = [WIDTH * COLUMNS, HEIGHT * rows];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="10">
<rect width="${width}" height="${height}" fill="#fff"/>
${charts.join("\n")}
</svg>
`;
}

function chart(title: string, answers: readonly Answer[]): string {
  const lines = answers.flatMap(({ query, series }) =>
    series.map(({ metric, values }) => ({
      name: query.legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ""),
      points: values.filter(([, value]) => Number.isFinite(value)),
    })),
  );
  const all = lines.flatMap(({ points }) => points);
  const unit = answers[0]?.query.unit ?? "";
  const frame = `<rect x="4" y="4" width="${WIDTH - 8}" height="${HEIGHT - 8}" fill="none" stroke="#ccc"/><text x="12" y="19" font-weight="bold">${text(title)}</text>`;
  if (all.length === 0)
    return `${frame}<text x="${WIDTH / 2}" y="${HEIGHT / 2}" fill="#888" text-anchor="middle">no data in this run</text>`;
  const [from, to] = [Math.min(...all.map(([at]) => at)), Math.max(...all.map(([at]) => at))];
  const top = Math.max(...all.map(([, value]) => value), 0) || 1;
  const x = (at: number): number => PLOT.left + ((at - from) / Math.max(1, to - from)) * (WIDTH - PLOT.left - PLOT.right);
  const y = (value: number): number => HEIGHT - PLOT.bottom - (value / top) * (HEIGHT - PLOT.top - PLOT.bottom);
  const axis = [0, top / 2, top].map(
    (value) =>
      `<line x1="${PLOT.left}" x2="${WIDTH - PLOT.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#eee"/><text x="${PLOT.left - 4}" y="${(y(value) + 3).toFixed(1)}" text-anchor="end" fill="#555">${amount(value, unit)}</text>`,
  );
  const drawn = lines
    .slice(0, COLOURS.length)
    .map(({ points }, at) => `<path d="${path(points, x, y)}" fill="none" stroke="${COLOURS[at]}"/>`);
  const names = [...new Set(lines.slice(0, COLOURS.length).map(({ name }) => name))].filter((name) => name !== "");
  const legend = names.slice(0, 5).map((name, at) => `<tspan fill="${COLOURS[at]}">■ ${text(name)}  </tspan>`);
  return `${frame}${axis.join("")}${drawn.join("")}<text x="12" y="${HEIGHT - 14}">${legend.join("")}</text>`;
}

/** A gap in time is a gap in the line. */
function path(points: readonly Point[], x: (at: number) => number, y: (value: number) => number): string {
  return points
    .map(([at, value], i) => `${i === 0 || at - (points[i - 1]?.[0] ?? 0) > 2 ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`)
    .join("");
}

function amount(value: number, unit: string): string {
  if (unit === "percentunit") return `${Math.round(value * 100)} %`;
  const short =
    value >= 1e6
      ? `${(value / 1e6).toPrecision(3)} M`
      : value >= 1_000
        ? `${(value / 1_000).toPrecision(3)} k`
        : String(Number(value.toPrecision(3)));
  return unit === "s"
    ? value > 0 && value < 1
      ? `${Number((value * 1_000).toPrecision(3))} ms`
      : `${short} s`
    : unit === "ops"
      ? `${short}/s`
      : short;
}

const text = (value: string): string => value.replace(/[<>&]/g, (sign) => `&#${sign.charCodeAt(0)};`);
