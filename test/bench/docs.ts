import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { plot } from "./plot.ts";
import { type BenchResult, markdown } from "./report.ts";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url));
const BEGIN = "<!-- bench: what follows is written by `npm run bench -- --write-docs` -->";
const END = "<!-- bench: end -->";

/** Writes the figures and plots into docs/performance.md, between its marks. */
export function writeDocs(result: BenchResult): void {
  const plots = new Map<string, string>();
  rmSync(`${DOCS}performance`, { recursive: true, force: true });
  mkdirSync(`${DOCS}performance`);
  for (const { sections } of Object.values(result.workloads)) {
    for (const section of sections) {
      if (section.standings.length === 0) continue;
      writeFileSync(`${DOCS}performance/${section.id}.svg`, plot(section));
      plots.set(section.id, `performance/${section.id}.svg`);
    }
  }
  const file = `${DOCS}performance.md`;
  const text = readFileSync(file, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${file} has no "${BEGIN}" followed by "${END}"`);
  writeFileSync(file, `${text.slice(0, begin + BEGIN.length)}\n\n${markdown(result, plots)}\n\n${text.slice(end)}`);
}
