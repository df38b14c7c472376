import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { runCli } from "../cli.ts";
import { testDatabase } from "./database.ts";
import { memoryIo } from "./memory-io.ts";
import { project } from "./project.ts";
import { start } from "./symphony.ts";

export const TOKEN = "remote-token-0123456789-abcdefghijklmnop";

const config = (dsn: string): string => `import { defineHandler, defineMessage, defineSchedule, UnrecoverableError } from "@symphony/core";
const Resize = defineMessage("image.resize", { queue: "images", priority: 7 });
export default {
  transports: { default: { dsn: ${JSON.stringify(dsn)} } },
  keyedQueues: ["images"],
  handlers: [defineHandler(Resize, async () => { throw new UnrecoverableError("no image there"); }, { execution: "inline" })],
  schedules: [defineSchedule("nightly", { message: Resize, cron: "30 3 * * *", timeZone: "Europe/Berlin", payload: { width: 3 } })],
};`;

/** An admin API, and a command line that knows nothing but its address. */
export async function remoteBed(t: TestContext) {
  const { url: dsn } = await testDatabase(t);
  const directory = project(t, { "symphony.config.ts": config(dsn) });
  const server = start(t, ["admin", "--port", "0", "--json"], { directory, environment: { SYMPHONY_AUTH_TOKEN: TOKEN } });
  const [, url = ""] = await server.saying(/(http:\/\/127\.0\.0\.1:\d+)/);
  const elsewhere = project(t, { "package.json": "{}" });
  const runWith = async (o: { directory: string; environment: Readonly<Record<string, string>> }, line: readonly string[]) => {
    const io = memoryIo(o);
    const code = await runCli(line, io);
    return { code, out: io.output(), err: io.errors() };
  };
  const run = (...line: string[]) =>
    runWith({ directory: elsewhere, environment: { SYMPHONY_AUTH_TOKEN: TOKEN, SYMPHONY_URL: url } }, line);
  /** The same on the database. */
  const runHere = (...line: string[]) => runWith({ directory, environment: {} }, line);
  const json = async <T>(...line: string[]): Promise<T> => {
    const { code, out, err } = await run(...line, "--json");
    assert.equal(code, 0, `${line.join(" ")}: ${err}`);
    return JSON.parse(out) as T;
  };
  const consume = () =>
    fetch(`${url}/api/symphony/consume`, { method: "POST", headers: { authorization: `Bearer ${TOKEN}`, connection: "close" } }).then(
      (answer) => assert.equal(answer.status, 200),
    );
  return { url, elsewhere, run, runHere, json, consume };
}
