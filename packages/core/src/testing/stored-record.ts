/** A record as PostgreSQL gives it back from `jsonb`: keys by length, then by letters, and spaces. */
export function asStored(body: string): string {
  const spaced = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    const keys = Object.keys(value).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    return `{${keys.map((key) => `${JSON.stringify(key)}: ${spaced((value as Record<string, unknown>)[key])}`).join(", ")}}`;
  };
  return spaced(JSON.parse(body));
}
