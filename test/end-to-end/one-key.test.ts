import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createMessenger, defineMessage } from "@symphony/core";
import { createDatabase, sharedServer } from "../support/database.ts";

const SENDER = fileURLToPath(new URL("../fixtures/one-key-sender.ts", import.meta.url));
const PROCESSES = 4;
const CONNECTIONS = 50;
const SENDS = 1_000;
/** `npm run test:one-key` runs a hundred. */
const ROUNDS = Number(process.env.SYMPHONY_TEST_ROUNDS ?? 20);

interface Answer {
  readonly key: string;
  readonly ids: readonly string[];
  readonly accepted: number;
  readonly answers: number;
}

interface SenderProcess {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

async function startSender(t: TestContext, dsn: string, connections: number): Promise<SenderProcess> {
  const child = spawn(process.execPath, ["--conditions=source", SENDER, String(connections)], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, SYMPHONY_TEST_DSN: dsn },
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })[Symbol.asyncIterator]();
  assert.deepEqual(JSON.parse(((await lines.next()).value as string | undefined) ?? "null"), { ready: connections });
  return { child, lines };
}

test(`${ROUNDS} rounds of ${SENDS} parallel dispatches of one key over ${CONNECTIONS} connections of ${PROCESSES} processes make one message each`, {
  timeout: 300_000,
}, async (t) => {
  const server = await sharedServer();
  const database = await createDatabase(server);
  t.after(async () => {
    await database.close({ keep: false });
    await server.release();
  });
  const dsn = database.connectionString;
  const messenger = await createMessenger({ transports: { default: { dsn } }, messages: [defineMessage("once", { queue: "once" })] });
  await messenger.close();
  const shares = Array.from({ length: PROCESSES }, (_, i) => Math.floor((CONNECTIONS + i) / PROCESSES));
  assert.equal(
    shares.reduce((sum, each) => sum + each),
    CONNECTIONS,
  );
  const senders = await Promise.all(shares.map((connections) => startSender(t, dsn, connections)));
  const messages = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    const key = `round-${round}`;
    for (const { child } of senders) child.stdin?.write(`${JSON.stringify({ key, sends: SENDS / PROCESSES })}\n`);
    const answers = await Promise.all(
      senders.map(async ({ lines }) => JSON.parse(((await lines.next()).value as string | undefined) ?? "null") as Answer),
    );
    const total = (of: (answer: Answer) => number): number => answers.reduce((sum, answer) => sum + of(answer), 0);
    assert.equal(
      total((answer) => answer.answers),
      SENDS,
    );
    assert.equal(
      total((answer) => answer.accepted),
      1,
      `round ${round}: exactly one was the first`,
    );
    const ids = new Set(answers.flatMap((answer) => answer.ids));
    assert.equal(ids.size, 1, `round ${round}: all callers got the same id`);
    for (const id of ids) messages.add(id);
  }
  const rows = await database.query<{ id: string }>("SELECT id::text FROM symphony.job WHERE name = 'once'");
  assert.deepEqual(new Set(rows.map((row) => row.id)), messages);
  assert.equal(rows.length, ROUNDS, "one message for each round");
  const ended = senders.map(({ child }) => new Promise((resolve) => child.once("exit", resolve)));
  for (const { child } of senders) child.stdin?.end();
  assert.deepEqual(
    await Promise.all(ended),
    senders.map(() => 0),
  );
});
