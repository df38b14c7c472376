import { readFileSync } from "node:fs";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

export interface Cost {
  /** `function file:line` */
  readonly where: string;
  readonly selfMs: number;
  /** With everything it called; recursion counted once. */
  readonly totalMs: number;
}

/** Where the time of a `--cpu-prof` file went, the most expensive functions first. */
export function summarise(file: string, options: { readonly skipMs?: number } = {}): readonly Cost[] {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile;
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id);
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  let elapsedMs = 0;
  for (const [index, id] of profile.samples.entries()) {
    const ms = (profile.timeDeltas[index] ?? 0) / 1_000;
    elapsedMs += ms;
    if (elapsedMs < (options.skipMs ?? 0)) continue;
    const seen = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const where = nameOf(byId.get(at));
      if (at === id) self.set(where, (self.get(where) ?? 0) + ms);
      if (!seen.has(where)) total.set(where, (total.get(where) ?? 0) + ms);
      seen.add(where);
    }
  }
  return [...total].map(([where, totalMs]) => ({ where, totalMs, selfMs: self.get(where) ?? 0 })).sort((a, b) => b.selfMs - a.selfMs);
}

interface HeapNode {
  readonly callFrame: ProfileNode["callFrame"];
  readonly selfSize: number;
  readonly children: readonly HeapNode[];
}

/** Bytes that each function has allocated, by a sampled heap profile; the most first. */
export function allocations(file: string): readonly { readonly where: string; readonly bytes: number }[] {
  const { head } = JSON.parse(readFileSync(file, "utf8")) as { head: HeapNode };
  const bytes = new Map<string, number>();
  const visit = (node: HeapNode): void => {
    const where = nameOf(node);
    bytes.set(where, (bytes.get(where) ?? 0) + node.selfSize);
    for (const child of node.children) visit(child);
  };
  visit(head);
  return [...bytes].map(([where, size]) => ({ where, bytes: size })).sort((a, b) => b.bytes - a.bytes);
}

function nameOf(node: Pick<ProfileNode, "callFrame"> | undefined): string {
  if (node === undefined) return "(unknown)";
  const { functionName, url, lineNumber } = node.callFrame;
  if (url === "") return functionName === "" ? "(anonymous)" : functionName;
  const file = url
    .replace(/^file:\/\//, "")
    .replace(/^.*\/node_modules\//, "")
    .replace(/^.*\/(packages|test)\//, "$1/");
  return `${functionName === "" ? "(anonymous)" : functionName} ${file}:${lineNumber + 1}`;
}

/** `node test/bench/profile.ts FILE [PER]`: a table; with PER, microseconds per message instead of milliseconds. */
if (import.meta.main) {
  const [file = "", per = "0", skip = "0"] = process.argv.slice(2);
  const costs = summarise(file, { skipMs: Number(skip) });
  const scale = Number(per) > 0 ? 1_000 / Number(per) : 1;
  const unit = Number(per) > 0 ? "us/message" : "ms";
  const show = (title: string, rows: readonly Cost[]): void => {
    console.log(`\n${title} (${unit}: self, total)`);
    for (const { where, selfMs, totalMs } of rows)
      console.log(`${(selfMs * scale).toFixed(2).padStart(8)} ${(totalMs * scale).toFixed(2).padStart(8)}  ${where}`);
  };
  show("By self time", costs.slice(0, 40));
  show(
    "By total time, own code",
    [...costs]
      .filter(({ where }) => where.includes("packages/"))
      .sort((a, b) => b.totalMs - a.totalMs)
      .slice(0, 30),
  );
}
