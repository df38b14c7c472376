import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { recycleReason } from "./recycle.ts";

const fresh = { processed: 0, livedMs: 60_000, rssBytes: 100 * 1_048_576 };

describe("recycleReason", () => {
  test("names the limit that was reached", () => {
    assert.equal(recycleReason({ messages: 10 }, { ...fresh, processed: 10 }), "message_limit");
    assert.equal(recycleReason({ ageMs: 60_000 }, fresh), "time_limit");
    assert.equal(recycleReason({ memoryMb: 99 }, fresh), "memory_limit");
  });

  test("keeps a process below its limits, and without any", () => {
    assert.equal(recycleReason({ messages: 10, ageMs: 60_001, memoryMb: 100 }, { ...fresh, processed: 9 }), undefined);
    assert.equal(recycleReason({}, fresh), undefined);
  });

  test("does not replace processes for their memory as fast as they start", () => {
    assert.equal(recycleReason({ memoryMb: 1 }, { ...fresh, livedMs: 4_999 }), undefined);
  });
});
