import assert from "node:assert/strict";
import { test } from "node:test";
import { pause } from "@symphony/core/testing";
import { Note } from "../fixtures/messages.ts";
import { privateServer, testBed } from "../support/in-test.ts";

const ROUNDS = 4;
/** Between two messages, so that each brings its own notification and is stored without waiting for the disk. */
const APART_MS = 10;

test("no message is accepted that a crash of the server would undo, although it can be received before that", {
  timeout: 120_000,
}, async (t) => {
  // Nothing reaches the disk by itself: what a commit does not bring there is lost.
  const server = await privateServer(t, { settings: { wal_writer_delay: 10_000, autovacuum: "off" } });
  const bed = await testBed(t, { server, audit: false });
  await bed.database.query("CREATE TABLE marker (round int)");
  const ids: string[] = [];
  let lost = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < 5; n++) {
      await pause(APART_MS);
      const dispatched = await bed.messenger.dispatch(Note, { value: `${round}-${n}`, sleepMs: 0 });
      ids.push(dispatched.messageId);
    }
    await bed.database.query(
      `DO $$ BEGIN PERFORM set_config('synchronous_commit', 'off', true); INSERT INTO marker VALUES (${round}); END $$`,
    );
    await server.restart("immediate");
    const [found] = await bed.database.query<{ marked: boolean }>(`SELECT EXISTS (SELECT 1 FROM marker WHERE round = ${round}) AS marked`);
    if (found?.marked === false) lost += 1;
    const rows = await bed.database.query<{ id: string }>("SELECT id::text FROM symphony.job");
    const there = new Set(rows.map(({ id }) => id));
    assert.deepEqual(
      ids.filter((id) => !there.has(id)),
      [],
      "accepted, and gone",
    );
  }
  const [early] = await bed.database.query<{ used: boolean }>("SELECT is_called AS used FROM symphony.messenger_flush");
  assert.equal(early?.used, true, "no message went the early way");
  assert.ok(lost > 0, "the crashes undid nothing: they show nothing");
});
