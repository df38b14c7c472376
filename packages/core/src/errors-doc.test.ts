import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ERROR_CODES } from "./errors.ts";

const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");
/** The first cell of each row that begins with a code. */
const documented = [...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1] ?? "");

test("docs/errors.md explains every error code", () => {
  assert.deepEqual(
    Object.keys(ERROR_CODES).filter((code) => !documented.includes(code)),
    [],
  );
});

test("docs/errors.md explains no code that does not exist, and none twice", () => {
  assert.deepEqual(
    documented.filter((code, i) => !(code in ERROR_CODES) || documented.indexOf(code) !== i),
    [],
  );
});

test("docs/errors.md says for every code what to do", () => {
  for (const line of page.split("\n").filter((row) => row.startsWith("| `"))) {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    assert.equal(cells.length, 3, line);
    for (const cell of cells) assert.notEqual(cell.trim(), "", line);
  }
});
