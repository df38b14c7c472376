import assert from "node:assert/strict";
import { test } from "node:test";
import { bar, COLOURS, PLAIN, paletteFor, sparkline, widthOf } from "./terminal.ts";

test("paints only on a terminal whose user has not refused it", () => {
  assert.equal(paletteFor({ isTTY: true }, {}), COLOURS);
  assert.equal(paletteFor({ isTTY: true }, { NO_COLOR: "1" }), PLAIN);
  assert.equal(paletteFor({ isTTY: true }, { TERM: "dumb" }), PLAIN);
  assert.equal(paletteFor({}, {}), PLAIN);
});

test("fills a bar in eighths of a column, and never beyond its width", () => {
  assert.equal(bar(0, 4), "░░░░");
  assert.equal(bar(0.5, 4), "██░░");
  assert.equal(bar(0.53125, 4), "██▏░");
  for (const share of [1, 1.5, Number.POSITIVE_INFINITY]) assert.equal(bar(share, 4), "████");
  for (let share = -0.1; share < 1.1; share += 0.013) assert.equal(widthOf(bar(share, 10)), 10);
});

test("scales a curve to its highest value, and pads what has not been yet", () => {
  assert.equal(sparkline([0, 5, 10], 5), "  ▁▅█");
  assert.equal(sparkline([1, 2, 3, 4], 2), "▆█");
});
