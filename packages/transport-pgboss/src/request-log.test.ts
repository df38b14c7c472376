import assert from "node:assert/strict";
import { test } from "node:test";
import { TestSchema, testDatabase } from "./testing/database.ts";

const schema = new TestSchema(await testDatabase());
const transport = await schema.open();

test("a key that comes several times in the same microsecond is claimed once", async () => {
  const other = await schema.open();
  await schema.query(`CREATE FUNCTION $schema.same_time() RETURNS trigger LANGUAGE plpgsql AS
    $f$ BEGIN NEW.until = date_trunc('day', now()) + interval '2 days'; RETURN NEW; END $f$`);
  await schema.query(
    "CREATE TRIGGER same_time BEFORE INSERT ON $schema.messenger_request FOR EACH ROW EXECUTE FUNCTION $schema.same_time()",
  );
  for (let round = 0; round < 150; round++) {
    const request = { key: `round ${round}`, fingerprint: "f", forMs: 60_000 };
    const claims = await Promise.all([transport, other, transport, other].map((each) => each.requests.claim(request)));
    assert.equal(claims.filter((known) => known === undefined).length, 1);
  }
});

test("a key whose time is over is claimed anew, once", async () => {
  const other = await schema.open();
  for (let round = 0; round < 30; round++) {
    const request = { key: `over ${round}`, fingerprint: "f", forMs: 60_000 };
    assert.equal(await transport.requests.claim(request), undefined);
    await transport.requests.keep(request.key, { status: 200, body: null }, -1);
    const claims = await Promise.all([transport, other, transport, other].map((each) => each.requests.claim(request)));
    assert.equal(claims.filter((known) => known === undefined).length, 1);
    assert.deepEqual(await transport.requests.claim(request), { fingerprint: "f" });
  }
});
