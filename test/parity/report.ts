import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Line, SECTIONS } from "./line.ts";
import { LINES } from "./lines.ts";

export const ROOT = join(import.meta.dirname, "../..");
export const REPORT = "docs/parity.md";

/** Proofs that name a file or a test that does not exist. */
export function brokenProofs(): string[] {
  const sources = new Map<string, string>();
  const read = (path: string): string => {
    const known = sources.get(path) ?? (existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : "");
    sources.set(path, known);
    return known;
  };
  return LINES.flatMap((line) => line.proofs).filter((proof) => {
    const [path, name] = splitProof(proof);
    return !read(path).includes(JSON.stringify(name));
  });
}

const splitProof = (proof: string): [path: string, name: string] => {
  const at = proof.indexOf(" > ");
  return [proof.slice(0, at), proof.slice(at + 3)];
};

type Verdict = "proven" | "partly" | "open";
const verdictOf = ({ proofs, open }: Line): Verdict => (proofs.length === 0 ? "open" : open === undefined ? "proven" : "partly");
const count = (lines: readonly Line[], verdict: Verdict): number => lines.filter((line) => verdictOf(line) === verdict).length;

/** The whole of docs/parity.md. */
export function parityReport(): string {
  const parts = [
    "# Parity with Symfony Messenger",
    "",
    "Made by `npm run parity` from `test/parity`; a test fails when it is stale, or names a test that does not exist. Each line",
    "is something that Symfony Messenger or its Scheduler has. *Proven*: the named tests say it. *Partly*: what is missing",
    "stands under *open*. *Open*: not built, or not proven.",
    "",
    `${LINES.length} lines: ${count(LINES, "proven")} proven, ${count(LINES, "partly")} partly, ${count(LINES, "open")} open.`,
  ];
  for (const [section, title] of Object.entries(SECTIONS)) {
    const lines = LINES.filter((line) => line.section === section);
    parts.push("", `## ${section}. ${title}`, "", "| Symfony | | here | tests | open |", "|---|---|---|---|---|", ...lines.map(row));
  }
  return `${parts.join("\n")}\n`;
}

function row(line: Line): string {
  const tests = [...Map.groupBy(line.proofs.map(splitProof), ([path]) => path)].map(
    ([path, names]) => `[${path.split("/").slice(-2).join("/")}](../${path}): ${names.map(([, name]) => name).join("; ")}`,
  );
  const cells = [line.symfony, verdictOf(line), line.here, tests.join("<br>"), line.open ?? ""];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
