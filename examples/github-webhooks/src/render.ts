import type { ActivityLine } from "./database.ts";

const NEWEST_SHOWN = 10;

/** The story of a repository as Markdown: what happened how often, who did it, and what was last. */
export function renderSummary(repository: string, lines: readonly ActivityLine[]): string {
  const byEvent = countBy(lines, (line) => line.event);
  const byActor = countBy(lines, (line) => line.actor);
  return [
    `# ${escapeMarkdown(repository)}`,
    "",
    `${lines.length} events by ${byActor.length} people.`,
    "",
    "| event | times |",
    "|---|---:|",
    ...byEvent.map(([event, times]) => `| ${escapeMarkdown(event)} | ${times} |`),
    "",
    `Most active: ${byActor
      .slice(0, 3)
      .map(([actor, times]) => `${escapeMarkdown(actor)} (${times})`)
      .join(", ")}`,
    "",
    ...lines.slice(0, NEWEST_SHOWN).map(renderLine),
    "",
  ].join("\n");
}

function renderLine(line: ActivityLine): string {
  const what = line.action === null ? line.event : `${line.event} ${line.action}`;
  const title = line.title === "" ? "" : `: ${link(escapeMarkdown(line.title), line.url)}`;
  const when = line.occurredAt === null ? "" : `${line.occurredAt.toISOString().slice(0, 10)} `;
  return `- ${when}**${escapeMarkdown(line.actor)}** ${escapeMarkdown(what)}${title}`;
}

/** Only web addresses become links: the URL comes from outside, and the summary is read in a browser. */
const link = (text: string, url: string | null): string =>
  url !== null && /^https?:\/\/[^\s()<>]+$/.test(url) ? `[${text}](${url})` : text;

const escapeMarkdown = (text: string): string => text.replace(/[\\`*_[\]<>|#]/g, "\\$&");

function countBy<T>(items: readonly T[], key: (item: T) => string): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b, "en"));
}
