import assert from "node:assert/strict";
import { userInfo } from "node:os";
import { test } from "node:test";
import { workerProject } from "./testing/worker-project.ts";

interface Record {
  readonly id: string;
  readonly action: string;
  readonly count: number;
  readonly outcome: string;
  readonly undoable: boolean;
  readonly actor: { readonly name: string; readonly kind: string };
  readonly parameters: unknown;
}

test("what the command line removes and retries is recorded, and comes back by audit undo", async (t) => {
  const project = await workerProject(t);
  for (const why of ["first", "second"]) await project.json(["dispatch", "boom", JSON.stringify({ why })]);
  await project.run(["consume", "--limit", "2", "--health-port", "0", "--processes", "1"]);
  const before = await project.failed();
  assert.equal(before.length, 2);
  const records = async () => (await project.json<{ records: readonly Record[] }>(["audit", "list"])).records;

  await project.json(["failed", "remove", "--all", "--queue", "risky", "--force"]);
  assert.deepEqual(await project.failed(), []);
  const [removal] = await records();
  assert.deepEqual([removal?.action, removal?.count, removal?.outcome, removal?.undoable], ["remove", 2, "done", true]);
  assert.deepEqual([removal?.actor.name, removal?.actor.kind, removal?.parameters], [userInfo().username, "cli", { queue: "risky" }]);

  const undone = await project.json<{ restored: number }>(["audit", "undo", removal?.id ?? ""]);
  assert.equal(undone.restored, 2);
  assert.deepEqual(await project.failed(), before);
  const again = await project.run(["audit", "undo", removal?.id ?? "", "--json"]);
  assert.equal(again.code, 1);
  assert.match(again.err, /UNDO_IMPOSSIBLE/);

  await project.json(["failed", "retry", before[0]?.id ?? ""]);
  const [retry] = await records();
  assert.deepEqual([retry?.action, retry?.count], ["retry", 1]);
  assert.match((await project.run(["audit", "list"])).out, /WHO +ACTION/);
});
