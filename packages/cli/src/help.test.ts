import assert from "node:assert/strict";
import { test } from "node:test";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";

async function run(words: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const io = memoryIo({ directory: import.meta.dirname });
  return { code: await runCli(words, io), out: io.output(), err: io.errors() };
}

interface Leaf {
  readonly words: readonly string[];
  readonly help: string;
}

/** Every command that does something, as `--help` lists them. */
async function leaves(words: readonly string[] = []): Promise<readonly Leaf[]> {
  const help = (await run([...words, "--help"])).out;
  const [, listed = ""] = /\nCommands:\n([\s\S]*?)\n\n/.exec(help) ?? [];
  const names = listed.split("\n").flatMap((line) => /^ {2}symphony ((?:[a-z][a-z-]* ?)+)/.exec(line)?.[1]?.trim() ?? []);
  // A group may do something by itself.
  const own = words.join(" ");
  const below = (await Promise.all(names.filter((name) => name !== own).map((name) => leaves(name.split(" "))))).flat();
  return names.length === 0 || names.includes(own) ? [{ words, help }, ...below] : below;
}

/** The shortest line that is no bad usage: what must be there is there. */
function lineOf({ words, help }: Leaf): readonly string[] {
  const positionals = (help.split("\n", 1)[0]?.match(/<\w+>/g) ?? []).map(() => "x");
  const flags = [...help.matchAll(/--([a-z-]+)(?:(?!\n {2,}-)[\s\S])*?\[required\]/g)].flatMap(([, name]) => [`--${name}`, "1"]);
  return [...words, ...positionals, ...flags];
}

test("--help offers --url where it is taken, and nowhere else", async () => {
  const all = await leaves();
  const refusing = all.filter(({ help }) => !help.includes("--url"));
  const names = refusing.map(({ words }) => words.join(" "));
  for (const name of ["admin", "consume", "doctor", "setup", "token create"]) assert.ok(names.includes(name), name);
  for (const name of ["status", "failed list", "queue pause", "audit undo"]) assert.ok(!names.includes(name), name);
  for (const leaf of refusing) {
    const { code, err } = await run([...lineOf(leaf), "--url", "http://127.0.0.1:1"]);
    assert.equal(code, 2, leaf.words.join(" "));
    assert.match(err, /takes no --url/, leaf.words.join(" "));
  }
});
