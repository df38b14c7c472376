import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessenger } from "@symphony/core";
import { startAdmin } from "./admin.ts";

test("the admin API answers whoever has its token, also when another program has its usual port", async () => {
  const messenger = await createMessenger({ transports: { default: { dsn: "memory:" } } });
  const both = [await startAdmin(messenger), await startAdmin(messenger)];
  try {
    assert.notEqual(both[0]?.url, both[1]?.url);
    for (const { url, token } of both) {
      const status = async (authorization: string): Promise<number> =>
        (await fetch(`${url}/api/symphony/status`, { headers: { authorization, connection: "close" } })).status;
      assert.deepEqual([await status(`Bearer ${token}`), await status("Bearer x")], [200, 401]);
    }
  } finally {
    await Promise.all(both.map((admin) => admin.close()));
    await messenger.close();
  }
});
