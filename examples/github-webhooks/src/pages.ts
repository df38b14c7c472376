import type pg from "pg";
import { readSummaries } from "./database.ts";

/** The rendered summaries as Markdown, at `/repositories` and `/repositories/owner/name`; undefined for other paths. */
export async function summaryPage(pool: pg.Pool, runId: string, path: string): Promise<string | undefined> {
  if (path !== "/" && path !== "/repositories" && !path.startsWith("/repositories/")) return undefined;
  const summaries = await readSummaries(pool, runId);
  if (path === "/" || path === "/repositories") {
    const lines = summaries.map(({ repository, events }) => `- /repositories/${repository} (${events} events)`);
    return `# ${summaries.length} repositories\n\n${lines.join("\n")}\n`;
  }
  const wanted = decodeURIComponent(path.slice("/repositories/".length));
  return summaries.find(({ repository }) => repository === wanted)?.markdown;
}
