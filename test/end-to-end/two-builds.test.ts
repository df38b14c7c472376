import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createMessenger, type Messenger } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import * as after from "../fixtures/builds/new.config.ts";
import * as before from "../fixtures/builds/old.config.ts";
import { testBed } from "../support/in-test.ts";
import type { RunEntry } from "../support/journal.ts";

const EACH = 40;
const CONFIGS = { old: "../fixtures/builds/old.config.ts", new: "../fixtures/builds/new.config.ts" } as const;

test("two builds side by side, with a renamed and a versioned message: no failure, no dead letter, no spinning", {
  timeout: 120_000,
}, async (t) => {
  const bed = await testBed(t);
  const start = (build: keyof typeof CONFIGS) => {
    const config = fileURLToPath(new URL(CONFIGS[build], import.meta.url));
    const flags = ["--processes", "1", "--health-port", "0", "--poll-interval", "100"];
    return bed.processes.symphony(["consume", "--config", config, "--json", ...flags], { env: bed.environment() });
  };
  const [old, young] = [start("old"), start("new")];
  const transports = { default: { dsn: bed.database.connectionString } };
  const [oldSender, newSender] = await Promise.all([
    createMessenger({ ...before.default, transports }),
    createMessenger({ ...after.default, transports }),
  ]);
  t.after(() => Promise.all([oldSender.close(), newSender.close()]));

  const working = async (): Promise<boolean> => (await bed.database.query("SELECT 1 FROM symphony.messenger_worker")).length === 2;
  await waitFor(working, { what: "two workers", timeoutMs: 30_000, intervalMs: 50 });

  const values: string[] = [];
  const value = (of: string): string => {
    values.push(bed.value(of));
    return values.at(-1) as string;
  };
  const send = async (messenger: Messenger, items: Parameters<Messenger["dispatchMany"]>[0]): Promise<void> => {
    const results = await messenger.dispatchMany(items);
    assert.ok(results.every((result) => !("error" in result)));
  };
  await Promise.all(
    Array.from({ length: EACH }, async () => {
      await send(oldSender, [
        { type: before.Resize, payload: { value: value("old-name"), width: 1 } },
        { type: before.Report, payload: { value: value("version-1"), month: "11" } },
      ]);
      await send(newSender, [
        { type: after.Resize, payload: { value: value("new-name"), width: 1 } },
        { type: after.Report, payload: { value: value("version-3"), year: 2026, month: 11 } },
      ]);
    }),
  );
  // What the old build cannot read comes back after a rest, and may meet the old build again: it waits for the new one.
  await waitFor(() => values.every((each) => each.startsWith("version-3") || bed.ended().has(each)), {
    what: "all but the newest version",
    timeoutMs: 30_000,
  });
  old.signal("SIGTERM");
  await old.waitForExit(10_000);
  await bed.drained(30_000);

  const ended = bed.entries().filter((entry): entry is RunEntry => entry.kind === "end");
  assert.deepEqual(ended.map((entry) => entry.value).sort(), values.sort(), "each exactly once");
  assert.ok(
    ended.every((entry) => entry.attempt === 1),
    "no failure, and nothing counted",
  );
  assert.deepEqual(await bed.deadLetters(), []);
  const by = (prefix: string) => new Set(ended.filter((entry) => entry.value.startsWith(prefix)).map((entry) => entry.seen));
  assert.deepEqual(by("version-3"), new Set(["new"]), "only the new build understands the newest version");
  const shared = ["old-name", "new-name", "version-1"].flatMap((prefix) => [...by(prefix)]);
  assert.deepEqual(new Set(shared), new Set(["old", "new"]), "both builds took part in what both know");
  // The old build looked at the newest version now and then, not as fast as it could.
  const [looks] = await bed.database.query<{ n: number }>("SELECT coalesce(sum(retried), 0)::int AS n FROM symphony.messenger_counter");
  assert.ok((looks?.n ?? 0) <= EACH * 8, `${looks?.n} releases`);
  young.signal("SIGTERM");
  assert.equal((await young.waitForExit(10_000)).code, 0);
});
