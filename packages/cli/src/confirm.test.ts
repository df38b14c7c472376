import assert from "node:assert/strict";
import { test } from "node:test";
import { confirm } from "./confirm.ts";
import { memoryIo } from "./testing/memory-io.ts";

const asked = (input: string, signal?: AbortSignal) =>
  memoryIo({ directory: "/", input, interactive: true, ...(signal === undefined ? {} : { signal }) });

test("goes ahead on y and yes, and on nothing else", async () => {
  for (const answer of ["y", "Y", "yes", " yes "]) assert.equal(await confirm(asked(`${answer}\n`), "Delete?", false), true, answer);
  for (const answer of ["", "n", "no", "yep", "1"]) assert.equal(await confirm(asked(`${answer}\n`), "Delete?", false), false, answer);
});

test("shows the question on standard error, so that results stay clean", async () => {
  const io = asked("y\n");
  await confirm(io, "Delete 3 messages?", false);
  assert.match(io.errors(), /Delete 3 messages\? \[y\/N\]/);
  assert.equal(io.output(), "");
});

test("takes Ctrl-C and Ctrl-D for a no", async () => {
  assert.equal(await confirm(asked(""), "Delete?", false), false);
  assert.equal(await confirm(asked("", AbortSignal.abort()), "Delete?", false), false);
});

test("does not ask with --force, and refuses where nobody can be asked", async () => {
  const nobody = memoryIo({ directory: "/" });
  assert.equal(await confirm(nobody, "Delete?", true), true);
  await assert.rejects(confirm(nobody, "Delete?", false), { code: "USAGE", message: /--force/ });
});
