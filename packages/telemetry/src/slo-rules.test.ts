import assert from "node:assert/strict";
import { test } from "node:test";
import { sloRules } from "./slo-rules.ts";

const MAIL = { name: "mail.send", queue: "mails", slo: { startWithinMs: 2_500, objective: 0.999 } };

test("records how much of the time a type is late, and alerts when the budget burns too fast", () => {
  const text = sloRules([MAIL]);
  assert.match(text, /- record: "symphony:start_late:ratio_1h"/);
  assert.ok(
    text.includes(
      JSON.stringify(
        '1 - avg_over_time((max by (messaging_destination_name) (symphony_queue_oldest_age_seconds{messaging_destination_name="mails"}) <= bool 2.5)[5m:1m])',
      ),
    ),
    text,
  );
  const fast =
    'symphony:start_late:ratio_1h{symphony_message_type="mail.send"} > 0.0144 and symphony:start_late:ratio_5m{symphony_message_type="mail.send"} > 0.0144';
  assert.ok(text.includes(JSON.stringify(fast)), text);
  assert.match(text, /99\.9 % start within 2500 ms/);
});

test("has four recordings and two alerts per type, and no rule without types", () => {
  const text = sloRules([MAIL, { ...MAIL, name: "mail.receive" }]);
  assert.equal(text.match(/- record:/g)?.length, 8);
  assert.equal(text.match(/- alert:/g)?.length, 4);
  assert.match(sloRules([]), /^groups: \[\]$/m);
});
