import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import type { Logger } from "@symphony/core";
import { silentLogger, systemClock } from "@symphony/core";
import { ManualClock } from "@symphony/core/testing";
import { createApi, type KubernetesApi } from "./api-client.ts";
import { EventWriter } from "./event-writer.ts";
import { selfSignedCertificate } from "./testing/certificate.ts";

const POD = { name: "worker-x", uid: "8d461fa5-5bcc-4d0c-9b8b-8a7a3a1c2f4e" };
const DRAINED = { reason: "Drained", type: "Normal", note: "12 messages handled" } as const;

interface Sent {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly type: string | undefined;
  readonly body: Record<string, unknown>;
}

/** An API server behind TLS, with a certificate of an authority of its own, as a pod meets it. */
async function apiServer(t: TestContext, status = 201) {
  const { key, cert: ca } = selfSignedCertificate();
  const sent: Sent[] = [];
  const server = createServer({ key, cert: ca }, async (incoming, response) => {
    let text = "";
    for await (const chunk of incoming.setEncoding("utf8")) text += chunk;
    const { authorization, "content-type": type } = incoming.headers;
    sent.push({ path: `${incoming.method} ${incoming.url}`, authorization, type, body: JSON.parse(text) });
    response.writeHead(status).end(JSON.stringify(status < 300 ? {} : { message: "events is forbidden" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { sent, ca, url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Keeps what is warned of. */
function warnings(): { logger: Logger; said: string[] } {
  const said: string[] = [];
  const warn = (fields: object, text: string) => void said.push(`${text} ${JSON.stringify(fields)}`);
  return { logger: { ...silentLogger, warn } as Logger, said };
}

test("writes an Event that belongs to the pod, with the pod's token, to the server of the pod's authority", async (t) => {
  const { sent, ca, url } = await apiServer(t);
  const api = createApi({ url, ca, namespace: "messages", token: () => "secret" });
  const writer = new EventWriter({ api, pod: POD, clock: systemClock, logger: silentLogger });
  writer.say(DRAINED);
  await writer.flush(10_000);
  const [event] = sent;
  assert.deepEqual(
    [event?.path, event?.authorization, event?.type],
    ["POST /apis/events.k8s.io/v1/namespaces/messages/events", "Bearer secret", "application/json"],
  );
  const { metadata, eventTime, ...rest } = event?.body ?? {};
  assert.match((metadata as { name: string }).name, /^worker-x\.[0-9a-f]{12}$/);
  assert.match(String(eventTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.deepEqual(rest, {
    ...{ apiVersion: "events.k8s.io/v1", kind: "Event", reason: "Drained", action: "Drained", type: "Normal" },
    ...{ note: "12 messages handled", reportingController: "symphony-messenger/fleet", reportingInstance: "worker-x" },
    regarding: { apiVersion: "v1", kind: "Pod", namespace: "messages", ...POD },
  });
});

test("does not speak to a server of another authority, and only logs what is refused", async (t) => {
  const { sent, ca, url } = await apiServer(t, 403);
  for (const [authority, expected] of [
    [undefined, /self-signed/],
    [ca, /answered 403: events is forbidden/],
  ] as const) {
    const { logger, said } = warnings();
    const api = createApi({ url, namespace: "messages", token: () => "secret", ...(authority === undefined ? {} : { ca: authority }) });
    const writer = new EventWriter({ api, pod: POD, clock: systemClock, logger });
    writer.say(DRAINED);
    await writer.flush(10_000);
    assert.equal(said.length, 1);
    assert.match(said[0] ?? "", expected);
    assert.ok(!said.join().includes("secret"));
  }
  assert.equal(sent.length, 1);
});

function recorded(post: () => Promise<unknown>) {
  const notes: string[] = [];
  const api: KubernetesApi = {
    namespace: "messages",
    get: () => assert.fail(),
    patch: () => assert.fail(),
    post(_, body) {
      notes.push((body as { note: string }).note);
      return post();
    },
  };
  const clock = new ManualClock();
  return { notes, clock, writer: new EventWriter({ api, pod: POD, clock, logger: silentLogger }) };
}

test("of one reason there is one event in five minutes, of all ten in ten", async () => {
  const { notes, clock, writer } = recorded(async () => undefined);
  for (let n = 0; n < 20; n++) writer.say({ ...DRAINED, note: `same ${n}` });
  await clock.advance(0);
  assert.deepEqual(notes, ["same 0"]);
  for (let n = 0; n < 20; n++) writer.say({ reason: `Other${n}`, type: "Warning", note: `other ${n}` });
  await clock.advance(0);
  assert.equal(notes.length, 10);
  await clock.advance(600_000);
  writer.say({ ...DRAINED, note: "again" });
  await clock.advance(0);
  assert.equal(notes.at(-1), "again");
});

test("waits for a server that does not answer no longer than it was told", async () => {
  const { clock, writer } = recorded(() => new Promise(() => undefined));
  writer.say(DRAINED);
  let done = false;
  const flushed = writer.flush(500).then(() => {
    done = true;
  });
  await clock.advance(499);
  assert.equal(done, false);
  await clock.advance(1);
  await flushed;
});

test("cuts a note to what the API takes, between characters", async () => {
  const { notes, clock, writer } = recorded(async () => undefined);
  writer.say({ ...DRAINED, note: `x${"é".repeat(1_000)}` });
  await clock.advance(0);
  assert.ok(Buffer.byteLength(notes[0] ?? "") <= 1_024);
  assert.match(notes[0] ?? "", /^xé+…$/);
});
