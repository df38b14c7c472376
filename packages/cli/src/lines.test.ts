import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { type Line, linesOf } from "./lines.ts";

async function read(chunks: readonly (Buffer | string)[], maxBytes = 1_000): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const line of linesOf(Readable.from(chunks), maxBytes)) lines.push(line);
  return lines;
}

test("yields lines with their numbers, whatever the line break, with and without one at the end", async () => {
  assert.deepEqual(await read(["a\r\nb\n\n", "c"]), [
    { number: 1, text: "a" },
    { number: 2, text: "b" },
    { number: 4, text: "c" },
  ]);
});

test("finds the same lines wherever the chunks are cut", async () => {
  const line = fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => !/[\r\n]/.test(text) && text.trim() === text && text !== "");
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 10 }), fc.integer({ min: 1, max: 7 }), async (lines, size) => {
      const bytes = Buffer.from(lines.join("\n"));
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
      assert.deepEqual(
        (await read(chunks)).map((one) => one.text),
        lines.map((text) => text.replace(/^\ufeff/, "")),
      );
    }),
  );
});

test("reports a line over the limit and goes on with the next", async () => {
  const [first, second] = await read(["x".repeat(600), "x".repeat(600), "\nok\n"]);
  assert.match(first?.problem ?? "", /longer than 1000 bytes/);
  assert.deepEqual(second, { number: 2, text: "ok" });
});

test("reports a line that is not UTF-8 and goes on with the next", async () => {
  const [first, second] = await read([Buffer.from([0x22, 0xff, 0x22, 0x0a]), "ok"]);
  assert.match(first?.problem ?? "", /not UTF-8/);
  assert.equal(second?.text, "ok");
});
