import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createMessenger, type DispatchReceipt } from "@symphony/core";
import { GithubDelivery } from "./messages.ts";
import { startReceiver } from "./receiver.ts";

const RUN = "0192f0c1-0000-7000-8000-000000000001";
const messenger = await createMessenger({ transports: { default: { dsn: "memory:" } }, messages: [GithubDelivery] });
const receipts: DispatchReceipt[] = [];
const receiver = await startReceiver({
  messenger,
  runId: RUN,
  port: 0,
  page: async (path) => (path === "/repositories" ? "# none\n" : undefined),
  onAccepted: (receipt) => receipts.push(receipt),
});
after(async () => {
  await receiver.close();
  await messenger.close();
});

const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}, path = "/webhooks/github"): Promise<Response> =>
  fetch(`${receiver.url}${path}`, {
    method: "POST",
    headers: { "x-github-event": "push", "x-github-delivery": crypto.randomUUID(), "x-hub-signature-256": "sha256=00", ...headers },
    body,
  });

test("makes a message of a webhook, with its body as it came, and answers 202", async () => {
  const before = await messenger.transport("default").getQueueDepth();
  const response = await post('{ "ref" : "ü" }');
  assert.equal(response.status, 202);
  const { messageId } = (await response.json()) as { messageId: string };
  assert.equal(receipts.at(-1)?.messageId, messageId);
  assert.equal(await messenger.transport("default").getQueueDepth(), before + 1);
});

test("makes one message of a webhook that is sent twice under the same id", async () => {
  const id = crypto.randomUUID();
  const first = await post("{}", { "x-github-delivery": id });
  const depth = await messenger.transport("default").getQueueDepth();
  const second = await post("{}", { "x-github-delivery": id });
  assert.deepEqual([first.status, second.status], [202, 200]);
  assert.equal(((await second.json()) as { messageId: string }).messageId, ((await first.json()) as { messageId: string }).messageId);
  assert.equal(await messenger.transport("default").getQueueDepth(), depth);
});

test("answers 409 when another webhook comes under an id that was used", async () => {
  const id = crypto.randomUUID();
  await post("{}", { "x-github-delivery": id });
  assert.equal((await post("[]", { "x-github-delivery": id })).status, 409);
});

test("refuses a webhook without id or event, one that is not UTF-8, and one that is too long", async () => {
  const depth = await messenger.transport("default").getQueueDepth();
  assert.equal((await post("{}", { "x-github-delivery": "" })).status, 400);
  assert.equal((await post("{}", { "x-github-event": "" })).status, 400);
  assert.equal((await post(new Uint8Array([0x7b, 0xff, 0x7d]))).status, 400);
  assert.equal((await post("x".repeat(500_000))).status, 413);
  assert.equal(await messenger.transport("default").getQueueDepth(), depth);
});

test("serves the summaries as Markdown, and nothing else", async () => {
  const page = await fetch(`${receiver.url}/repositories`);
  assert.equal(await page.text(), "# none\n");
  assert.match(page.headers.get("content-type") ?? "", /^text\/markdown/);
  assert.equal((await fetch(`${receiver.url}/secrets`)).status, 404);
  assert.equal((await fetch(`${receiver.url}/webhooks/github`)).status, 405);
  assert.equal((await post("{}", {}, "/elsewhere")).status, 404);
});

test("answers 503 once the messenger is closed, so that the sender comes again", async () => {
  const closed = await createMessenger({ transports: { default: { dsn: "memory:" } }, messages: [GithubDelivery] });
  const gone = await startReceiver({ messenger: closed, runId: RUN, port: 0, page: async () => undefined, onAccepted: () => undefined });
  await closed.close();
  const response = await fetch(`${gone.url}/webhooks/github`, {
    method: "POST",
    headers: { "x-github-event": "push", "x-github-delivery": "1" },
    body: "{}",
  });
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "1");
  await gone.close();
});
