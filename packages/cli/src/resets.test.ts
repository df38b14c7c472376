import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { workerProject } from "./testing/worker-project.ts";

/** Each handler notes what the one before it left in its thread or process. */
const CONFIG = `import { appendFileSync } from "node:fs";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
const note = (text) => appendFileSync(new URL("handled.log", import.meta.url), text + "\\n");
const left = { inline: "nothing", threaded: "nothing" };
const leave = (where) => (payload) => {
  note(where + " found " + left[where]);
  left[where] = "something";
};
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL ?? "embedded:" } },
  handlers: [
    defineHandler(defineMessage("inline"), leave("inline"), { name: "inline", execution: "inline" }),
    defineHandler(defineMessage("threaded"), leave("threaded"), { name: "threaded" }),
  ],
  resettable: {
    left: { reset: () => { left.inline = left.threaded = "nothing"; } },
  },
});
`;

const FOUND = /(\w+) found (\w+)/;

test("consume resets services between messages, in threads as in the process; --no-reset does not, --no-reset=N after every N", async (t) => {
  const { directory, json, run, handled } = await workerProject(t);
  writeFileSync(join(directory, "symphony.config.ts"), CONFIG);
  const found = async (...flags: string[]): Promise<Record<string, number>> => {
    const before = handled().length;
    for (const type of ["inline", "threaded"])
      await json(["dispatch", "--many"], Array.from({ length: 4 }, () => `${JSON.stringify({ type, payload: {} })}\n`).join(""));
    const line = ["consume", "--limit", "8", "--processes", "1", "--threads", "1", "--concurrency", "1", "--health-port", "0", ...flags];
    const { code, out, err } = await run(line);
    assert.equal(code, 0, out + err);
    const counts: Record<string, number> = {};
    for (const text of handled().slice(before)) {
      const [what] = FOUND.exec(text) ?? [text];
      counts[what] = (counts[what] ?? 0) + 1;
    }
    return counts;
  };
  assert.deepEqual(await found(), { "inline found nothing": 4, "threaded found nothing": 4 });
  assert.deepEqual(await found("--no-reset"), {
    "inline found nothing": 1,
    "inline found something": 3,
    "threaded found nothing": 1,
    "threaded found something": 3,
  });
  assert.deepEqual(await found("--no-reset=2"), {
    "inline found nothing": 2,
    "inline found something": 2,
    "threaded found nothing": 2,
    "threaded found something": 2,
  });
});
