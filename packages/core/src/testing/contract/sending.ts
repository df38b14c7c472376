import assert from "node:assert/strict";
import { defineStamp } from "../../envelope.ts";
import { DEFAULT_PAYLOAD_LIMITS } from "../../json-guard.ts";
import {
  busName,
  delay,
  dispatched,
  headers,
  lineage,
  messageId,
  metadata,
  priority,
  queueName,
  redelivery,
  scheduled,
  sent,
  typeVersion,
} from "../../stamps.ts";
import { CLOCK_TOLERANCE_MS, type Claim, envelopeOf, ids, TYPE, unique } from "./kit.ts";

const note = defineStamp<{ text: string }>("contract.note", { sendable: true });
const local = defineStamp<{ secret: string }>("contract.local", { sendable: false });

/** What a store or an encoder may get wrong. Made from JSON where a literal would mean something else in JavaScript. */
const PAYLOADS: readonly unknown[] = [
  null,
  true,
  false,
  0,
  7,
  -1.5,
  0.1 + 0.2,
  5e-324,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  "",
  "x",
  "null",
  " \t\r\n\v\f\b\u0001\u001f\u007f\u2028\u2029",
  "\\u0000 \\ / \" ' $1 $$ %s :name ?",
  "ä€𝄞👩‍👩‍👧 עברית العربية e\u0301 \uFFFD \uFEFF",
  [],
  {},
  [[], [[]], {}, null],
  { "": "", " ": 1, "a.b": 2, "ü 👍": 3, "1": "one", "01": "another" },
  { a: { b: [{ c: null }, "d", 5, true] } },
  JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":"data","hasOwnProperty":1}'),
  { v: 99, id: "not the message's", type: "other", tries: { failures: 9 }, payload: "inner" },
];

export function sendingTests(claim: Claim): void {
  claim("delivers a message as it was sent: type, payload and every stamp that travels", async (kit) => {
    const at = kit.now() - 1234;
    const parent = unique("parent");
    const root = unique("root");
    const past = {
      tries: { failures: 2, crashes: 1, interruptions: 3 },
      history: [{ attempt: 1, at: new Date(at).toISOString(), workerId: "w", error: { name: "Error", message: "first", code: "E1" } }],
      handled: ["first-handler", "second-handler"],
    };
    const envelope = kit.envelope(
      { text: "hello", list: [1, 2, 3] },
      busName({ bus: "commands" }),
      dispatched({ at }),
      lineage({ root, parent, depth: 4 }),
      headers({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-Ünïcode": "ja" }),
      metadata({ tenant: "t-1", nested: { deep: [true, null] } }),
      typeVersion({ version: 7 }),
      redelivery(past),
      priority({ priority: 9 }),
      note({ text: "first" }),
      note({ text: "second" }),
    );
    const [id] = await kit.send(envelope);
    const received = await kit.one();
    assert.equal(received.receipt.id, id);
    assert.equal(received.receipt.queue, kit.queue);
    assert.equal(received.queue, kit.queue);
    assert.equal(received.priority, 9);
    assert.ok(Number.isInteger(received.receipt.fence), "the fence is a whole number");
    const decoded = envelopeOf(received);
    assert.deepEqual(decoded.message, { type: TYPE, payload: { text: "hello", list: [1, 2, 3] } });
    assert.equal(id, envelope.last(messageId)?.id, "without an idempotency key the message keeps its id");
    assert.deepEqual(decoded.last(messageId), { id });
    for (const type of [busName, dispatched, lineage, headers, metadata, typeVersion, redelivery, note] as const) {
      assert.deepEqual(decoded.last<unknown>(type as never), envelope.last<unknown>(type as never), type.stampName);
    }
    assert.deepEqual(decoded.all(note), [{ text: "first" }, { text: "second" }], "stamps of one type keep their order");
  });

  claim("leaves stamps behind that only matter to the sender", async (kit) => {
    const envelope = kit.envelope({}, local({ secret: "s3cret" }), sent({ transport: "other", queue: "q", id: "i", duplicate: false }));
    await kit.send(envelope);
    const received = await kit.one();
    const decoded = envelopeOf(received);
    for (const type of [local, sent, queueName, priority, delay, scheduled]) assert.equal(decoded.last(type as typeof local), undefined);
    assert.ok(!received.body.includes("s3cret"));
  });

  claim("gives a message priority 5 unless it says otherwise", async (kit) => {
    await kit.send(kit.envelope());
    assert.equal((await kit.one()).priority, 5);
  });

  claim("keeps payloads of every JSON kind", async (kit) => {
    const sentIds = await kit.send(...PAYLOADS.map((payload) => kit.envelope(payload)));
    const received = await kit.drain(PAYLOADS.length);
    for (const [i, payload] of PAYLOADS.entries()) {
      const delivery = received.find((each) => each.receipt.id === sentIds[i]);
      assert.ok(delivery !== undefined);
      assert.deepEqual(envelopeOf(delivery).message.payload, payload);
      assert.deepEqual((JSON.parse(delivery.body) as { payload: unknown }).payload, payload, "the body is the record as JSON");
    }
    assert.equal(({} as { polluted?: boolean }).polluted, undefined, "Object.prototype is untouched");
  });

  claim("keeps payloads up to the size limit and refuses what is over it", async (kit) => {
    const room = DEFAULT_PAYLOAD_LIMITS.maxBytes - 1024;
    const latin = kit.envelope("x".repeat(room));
    const wide = kit.envelope({ text: "€".repeat(Math.floor(room / 3)) });
    const over = kit.envelope("x".repeat(DEFAULT_PAYLOAD_LIMITS.maxBytes));
    const results = await kit.transport.send([latin, over, wide]);
    assert.deepEqual(
      results.map((result) => result.kind),
      ["accepted", "refused", "accepted"],
    );
    assert.equal(results[1]?.kind === "refused" && results[1].error.code, "PAYLOAD_TOO_LARGE");
    const payloads = (await kit.drain(2)).map((each) => envelopeOf(each).message.payload);
    assert.ok(payloads.some((payload) => payload === latin.message.payload));
    assert.ok(payloads.some((payload) => (payload as { text?: string }).text === (wide.message.payload as { text: string }).text));
  });

  claim("answers per envelope: a refused one in the middle does not hold back its neighbours", async (kit) => {
    const good = [kit.envelope({ n: 1 }), kit.envelope({ n: 2 }), kit.envelope({ n: 3 })] as const;
    const results = await kit.transport.send([good[0], kit.envelope({ text: "a\0b" }), good[1], kit.envelope({ n: Number.NaN }), good[2]]);
    assert.deepEqual(
      results.map((result) => result.kind),
      ["accepted", "refused", "accepted", "refused", "accepted"],
    );
    for (const result of results) if (result.kind === "refused") assert.equal(result.error.code, "PAYLOAD_NOT_JSON");
    const received = await kit.drain(3);
    assert.deepEqual(ids(received).sort(), good.map((envelope) => envelope.last(messageId)?.id).sort());
  });

  claim("answers for a queue that was never set up without holding back the others", async (kit) => {
    const stray = kit.envelope({ n: 2 }, queueName({ queue: unique("q-stray") }));
    const results = await kit.transport.send([kit.envelope({ n: 1 }), stray, kit.envelope({ n: 3 })]);
    assert.deepEqual([results[0]?.kind, results[2]?.kind], ["accepted", "accepted"]);
    const answer = results[1];
    if (answer?.kind === "refused") assert.equal(answer.error.code, "QUEUE_NOT_FOUND");
    else assert.equal(answer?.kind, "accepted");
    await kit.drain(2);
  });

  claim("sends nothing for an empty list", async (kit) => {
    assert.deepEqual(await kit.transport.send([]), []);
    await kit.assertNothingWaits();
  });

  claim("sends a thousand messages in one call and delivers each once", async (kit) => {
    const envelopes = kit.envelopes(1000);
    const sentIds = await kit.send(...envelopes);
    assert.deepEqual(
      sentIds,
      envelopes.map((envelope) => envelope.last(messageId)?.id),
      "results keep the order of the envelopes",
    );
    const received = await kit.drain(1000, 1000);
    assert.deepEqual(ids(received).sort(), [...sentIds].sort());
    await kit.acknowledge(...received);
    await kit.assertNothingWaits();
  });

  claim("takes many sends at the same time", async (kit) => {
    const sentIds = (await Promise.all(Array.from({ length: 50 }, () => kit.send(...kit.envelopes(10))))).flat();
    assert.equal(new Set(sentIds).size, 500);
    assert.deepEqual(ids(await kit.drain(500)).sort(), sentIds.sort());
  });

  claim("holds a delayed message back until its delay is over, to the millisecond", async (kit) => {
    const start = kit.stopwatch();
    await kit.send(kit.envelope({}, delay({ delayMs: 400 })));
    const { afterMs } = await kit.arrival(400, start);
    assert.ok(afterMs >= 400 - CLOCK_TOLERANCE_MS, `it came after ${afterMs} ms`);
  });

  claim("holds a scheduled message back until its time", async (kit) => {
    const start = kit.stopwatch();
    await kit.send(kit.envelope({}, scheduled({ at: kit.now() + 350 })));
    const { afterMs } = await kit.arrival(350, start);
    assert.ok(afterMs >= 350 - CLOCK_TOLERANCE_MS, `it came after ${afterMs} ms`);
  });

  claim("delivers at once what was scheduled for the past or delayed by nothing", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }, scheduled({ at: kit.now() - 60_000 })), kit.envelope({ n: 2 }, delay({ delayMs: 0 })));
    await kit.drain(2);
  });

  claim("does not let messages for later stand in the way of those for now", async (kit) => {
    await kit.send(...kit.envelopes(50, delay({ delayMs: 3_600_000 }), priority({ priority: 10 })));
    const [id] = await kit.send(kit.envelope());
    assert.deepEqual(ids(await kit.drain(1)), [id]);
  });

  claim(
    "delivers what another transport over the same store has sent",
    async (kit) => {
      const [result] = await (await kit.other()).send([kit.envelope({ from: "other" })]);
      assert.equal(result?.kind, "accepted");
      assert.deepEqual(envelopeOf(await kit.one()).message.payload, { from: "other" });
    },
    { needs: ["reopen"] },
  );
}
