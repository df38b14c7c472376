import { invalid } from "./problem.ts";

const LONGEST_QUERY_CHARS = 2_048;

/**
 * Query parameters by name, each at most once.
 *
 * @throws {HttpProblem} 400 the query is too long, repeats a parameter or is not properly encoded.
 */
export function parseQuery(search: string): Readonly<Record<string, string>> {
  if (search.length > LONGEST_QUERY_CHARS)
    throw invalid([{ path: "", message: `the query has more than ${LONGEST_QUERY_CHARS} characters` }]);
  const found = new Map<string, string>();
  for (const pair of search.replace(/^\?/, "").split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    if (found.has(name)) throw invalid([{ path: name.slice(0, 100), message: "is there twice" }]);
    found.set(name, at < 0 ? "" : decode(pair.slice(at + 1)));
  }
  // fromEntries defines properties instead of setting them: a parameter called __proto__ is one like any other, and refused.
  return Object.fromEntries(found);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw invalid([{ path: "", message: "the query is not properly percent-encoded" }]);
  }
}
