import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { DiskProbe, meets, stallsAmong } from "./disk-probe.ts";
import { now } from "./ledger.ts";

const writes = (...tookMs: number[]) => tookMs.map((ms, i) => ({ from: 100 * i, until: 100 * i + ms }));

test("a stall takes ten times as long as most writes, and five milliseconds", () => {
  assert.deepEqual(stallsAmong(writes(0.4, 0.4, 4.9, 0.5, 5)), [{ from: 400, until: 405 }]);
  assert.deepEqual(stallsAmong(writes(8, 8, 79, 8, 80)), [{ from: 400, until: 480 }], "on a disk that is slow all the time");
  assert.deepEqual(stallsAmong([]), []);
});

test("a message meets a stall that overlaps it or has just ended", () => {
  const stalls = [{ from: 100, until: 200 }];
  const met = (from: number, until: number): boolean => meets(stalls, from, until);
  assert.deepEqual([met(90, 99), met(90, 101), met(150, 160), met(210, 212), met(221, 223)], [false, true, true, true, false]);
});

test("the probe tells what it wrote, on the clock of the measurement, and leaves nothing behind", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "symphony-probe-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "probe");
  const from = now();
  const probe = new DiskProbe(file);
  await waitFor(() => existsSync(file) && statSync(file).size > 8_192, { timeoutMs: 5_000, what: "two writes" });
  const written = await probe.stop();
  assert.ok(written.length > 0);
  assert.deepEqual(await probe.stop(), written, "as often as it is asked");
  assert.ok(written.every((write) => from <= write.from && write.from <= write.until && write.until <= now()));
  assert.equal(existsSync(file), false);
});
