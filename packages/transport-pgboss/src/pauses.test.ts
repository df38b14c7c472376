import assert from "node:assert/strict";
import { test } from "node:test";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { message, receive, send } from "./testing/messages.ts";

const schema = new TestSchema(await testDatabase());

test("lets go what was held back when somebody died in the midst of a resume, with the next look for dead workers", async () => {
  const transport = await schema.open({ queues: ["alpha", "beta"] });
  const held = message("alpha", { n: 1 });
  await transport.pauseQueue({ queue: "alpha", type: held.message.type });
  const [id] = await send(transport, held);
  assert.deepEqual(await receive(transport, "alpha"), [], "paused");
  const [row] = await schema.query<{ blocked: boolean }>("SELECT blocked FROM $schema.job WHERE id = $1::uuid", [id]);
  assert.equal(row?.blocked, true, "held back by its type");
  await schema.query("DELETE FROM $schema.messenger_pause");
  await transport.listPauses();
  await transport.reap(60_000);
  assert.deepEqual(
    (await receive(transport, "alpha")).map((each) => each.receipt.id),
    [id],
  );
});
