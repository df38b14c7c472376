import assert from "node:assert/strict";
import { test } from "node:test";
import { renderSummary } from "./render.ts";

const line = { event: "issues", action: "opened", actor: "ada", title: "#1 Broken", url: "https://example.org/1", occurredAt: new Date(0) };

test("counts events and people, the most frequent first", () => {
  const text = renderSummary("o/r", [line, { ...line, event: "push", action: null }, { ...line, actor: "bob" }]);
  assert.match(text, /^# o\/r\n\n3 events by 2 people\./);
  assert.ok(text.indexOf("| issues | 2 |") < text.indexOf("| push | 1 |"));
  assert.ok(text.includes("Most active: ada (2), bob (1)"));
  assert.ok(text.includes("- 1970-01-01 **ada** issues opened: [\\#1 Broken](https://example.org/1)"));
});

test("lets nothing that comes from outside become markup", () => {
  const text = renderSummary("o/r", [{ ...line, title: "<script>alert(1)</script> [x](javascript:1)", url: "javascript:alert(1)" }]);
  assert.doesNotMatch(text, /[^\\]</);
  assert.doesNotMatch(text, /[^\\]\]\(javascript/);
});
