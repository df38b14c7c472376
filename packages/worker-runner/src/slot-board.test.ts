import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SlotBoard } from "./slot-board.ts";

describe("SlotBoard", () => {
  test("a message is either started or taken back, never both", () => {
    const main = SlotBoard.create(2);
    const thread = new SlotBoard(main.buffer);
    main.queue(0, 7);
    main.queue(1, 8);
    assert.equal(main.phaseOf(0), "queued");
    assert.equal(thread.begin(0, 7), true);
    assert.equal(main.takeBack(0, 7), false);
    assert.equal(main.takeBack(1, 8), true);
    assert.equal(thread.begin(1, 8), false);
    assert.equal(main.phaseOf(0), "running");
  });

  test("a slot that is used again does not start the message that was taken out of it", () => {
    const main = SlotBoard.create(1);
    const thread = new SlotBoard(main.buffer);
    main.queue(0, 1);
    main.takeBack(0, 1);
    main.queue(0, 2);
    assert.equal(thread.begin(0, 1), false);
    assert.equal(thread.begin(0, 2), true);
  });

  test("beats change while an attempt goes on, and ends are told apart", () => {
    const main = SlotBoard.create(1);
    const thread = new SlotBoard(main.buffer);
    main.queue(0, 1);
    thread.begin(0, 1);
    assert.equal(main.timeoutOf(0), 0);
    const first = main.beatOf(0);
    thread.beat(0, 500);
    assert.notEqual(main.beatOf(0), first);
    assert.equal(main.timeoutOf(0), 500);
    for (const end of ["ended", "handled", "settled"] as const) {
      thread.end(0, end);
      assert.equal(main.phaseOf(0), end);
    }
  });

  test("tells which handler the thread is in, also when one calls into another", () => {
    const main = SlotBoard.create(3);
    const thread = new SlotBoard(main.buffer);
    assert.equal(main.entering, undefined);
    const outer = thread.enter(0);
    const inner = thread.enter(2);
    assert.equal(main.entering, 2);
    thread.leave(inner);
    assert.equal(main.entering, 0);
    thread.leave(outer);
    assert.equal(main.entering, undefined);
    thread.answer(5);
    assert.equal(main.answered, 5);
  });
});
