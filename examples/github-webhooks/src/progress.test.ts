import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, oneLine, Progress, type Snapshot } from "./progress.ts";
import { COLOURS, PLAIN, widthOf } from "./terminal.ts";

const snapshot = (change: Partial<Snapshot> = {}): Snapshot => ({
  phase: "working",
  elapsedMs: 1_500,
  lanes: [
    { name: "webhooks", done: 50, total: 100 },
    { name: "summaries", done: 10, total: 10 },
    { name: "outgoing", done: 0, total: 0 },
  ],
  waiting: { ready: 3, scheduled: 2, inFlight: 1 },
  deadLetters: 4,
  handled: 60,
  latencyMs: [5.4, 80, 1_234],
  failures: [
    ["server error", 7],
    ["hangs up", 2],
  ],
  ...change,
});

class Screen {
  readonly isTTY: boolean;
  readonly columns = 100;
  text = "";

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

test("draws every line as wide as the frame, with colours and without", () => {
  for (const palette of [PLAIN, COLOURS]) {
    for (const failures of [[], snapshot().failures, Array.from({ length: 9 }, (_, i) => [`reason ${i}`, 1_000_000] as const)]) {
      const lines = frame(snapshot({ failures }), { rate: 40, rates: [1, 2, 40], width: 78, palette });
      for (const line of lines) assert.equal(widthOf(line), 78, line);
    }
  }
});

test("writes a line a second, without escape sequences, where there is no terminal", () => {
  const screen = new Screen(false);
  const progress = new Progress(screen, PLAIN);
  for (let elapsedMs = 0; elapsedMs < 3_000; elapsedMs += 100) {
    progress.show(snapshot({ elapsedMs, waiting: { ready: elapsedMs, scheduled: 0, inFlight: 0 } }));
  }
  progress.finish();
  assert.equal(screen.text.trimEnd().split("\n").length, 3);
  assert.ok(!screen.text.includes("\u001b"));
});

test("says nothing while nothing changes, where there is no terminal", () => {
  const screen = new Screen(false);
  const progress = new Progress(screen, PLAIN);
  for (let elapsedMs = 0; elapsedMs < 10_000; elapsedMs += 1_000) progress.show(snapshot({ elapsedMs }));
  assert.equal(screen.text.trimEnd().split("\n").length, 1);
});

test("draws over the last picture on a terminal, and gives the cursor back at the end", () => {
  const screen = new Screen(true);
  const progress = new Progress(screen, PLAIN);
  progress.show(snapshot());
  const lines = screen.text.split("\n").length - 1;
  progress.show(snapshot({ elapsedMs: 1_600 }));
  assert.ok(screen.text.includes(`\u001b[${lines}A`));
  progress.finish();
  assert.ok(screen.text.endsWith("\u001b[?25h"));
});

test("puts a note above the picture", () => {
  const screen = new Screen(true);
  const progress = new Progress(screen, PLAIN);
  progress.show(snapshot());
  const before = screen.text.length;
  progress.note("the subscriber is repaired");
  const written = screen.text.slice(before);
  assert.ok(written.startsWith("\u001b["), "the picture was not removed");
  assert.ok(written.endsWith("the subscriber is repaired\n"));
});

test("shows what was counted in the line", () => {
  const line = oneLine(snapshot(), 41.6);
  for (const part of ["webhooks 50/100", "42/s", "p50 5 ms", "p99 1.2 s", "ready 3", "dead letters 4", "server error 7"]) {
    assert.ok(line.includes(part), `${part} is missing in: ${line}`);
  }
});
