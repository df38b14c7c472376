import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedBed } from "./admin-bed.ts";
import { Document } from "./document.ts";

const bed = await sharedBed();

test("every example of the document is valid by the document", async () => {
  const document = await Document.of(bed);
  let checked = 0;
  for (const { method, path } of document.operations) {
    const operation = document.raw.paths[path][method.toLowerCase()];
    const at = ["paths", path, method.toLowerCase()];
    for (const [status, response] of Object.entries<{ content?: Record<string, { example?: unknown }> }>(operation.responses)) {
      const example = response.content?.["application/json"]?.example;
      if (example === undefined) continue;
      document.checkValue([...at, "responses", status, "content", "application/json", "schema"], example);
      checked += 1;
    }
    if (operation.requestBody === undefined) continue;
    document.checkValue(
      [...at, "requestBody", "content", "application/json", "schema"],
      operation.requestBody.content["application/json"].example,
    );
    checked += 1;
  }
  assert.ok(checked >= document.operations.length, String(checked));
});

test("a server takes the examples of requests, as far as there is what they name", async () => {
  const document = await Document.of(bed);
  for (const { method, path, scope } of document.operations) {
    const token = scope === "cron secret" ? bed.tokens.cron : bed.tokens.all;
    const { requestBody } = document.raw.paths[path][method.toLowerCase()];
    if (requestBody === undefined) continue;
    const filled = path.replace("{id}", "01a21261-b019-7001-ab5c-c9f9ed953b21").replace("{name}", "images");
    const { status, text } = await bed.ask(method, filled, { token, body: requestBody.content["application/json"].example });
    assert.ok(status < 300 || [404, 409].includes(status) || text.includes("PAYLOAD_INVALID"), `${method} ${path}: ${text}`);
  }
});
