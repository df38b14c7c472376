import type { ValidationIssue } from "@symphony/core";
import type { z } from "zod";

/** Every issue that a schema found, unknown fields one by one, each with its path: `options.priority`, `items[0].id`. */
export function issuesOf(issues: readonly z.core.$ZodIssue[]): readonly ValidationIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") return [{ path: toPath(issue.path), message: issue.message }];
    return issue.keys.map((key) => ({ path: toPath([...issue.path, key]), message: "is not a known field" }));
  });
}

/** What a path may take of an answer: a client may send keys of any length. */
const LONGEST_PATH_CHARS = 200;

function toPath(parts: readonly PropertyKey[]): string {
  const path = parts.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`),
    "",
  );
  return path.length > LONGEST_PATH_CHARS ? `${path.slice(0, LONGEST_PATH_CHARS)}…` : path;
}
