import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, oneLine, plain, table } from "./output.ts";

test("lines columns up and leaves no trailing blanks", () => {
  const rows = [
    { name: "a", n: 5 },
    { name: "longer", n: 12345 },
  ];
  const text = table(
    [
      { title: "NAME", value: (row) => row.name },
      { title: "N", value: (row) => row.n, align: "right" },
    ],
    rows,
  );
  assert.equal(text, ["NAME        N", "a           5", "longer  12345"].join("\n"));
});

test("lets no escape sequence of stored text reach the terminal", () => {
  assert.equal(oneLine("a\u001b[31mred\nb\u0000"), "a [31mred b");
  assert.equal(plain("a\u001b[2J\nb\u009b"), "a[2J\nb");
});

test("shows durations in their two largest units", () => {
  assert.deepEqual([0, 350, 1_000, 61_000, 3_600_000, 90_061_000].map(duration), ["0ms", "350ms", "1s", "1m 1s", "1h", "1d 1h"]);
});
