import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PROBLEMS } from "./http/problem.ts";
import { ROUTES, type RouteEntry } from "./routes/table.ts";
import { type Answered, startAdmin } from "./testing/admin.ts";

const routes = Object.entries(ROUTES) as [string, RouteEntry][];

/** Every `$ref` of a document, wherever it is. */
function references(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => (key === "$ref" && typeof each === "string" ? [each] : references(each)));
}

test("the document has every route with its scope, its parameters and its refusals", async (t) => {
  const admin = await startAdmin(t);
  const { body: document } = await admin.call("GET", "/openapi.json");
  assert.equal(document.openapi, "3.1.0");
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item as Record<string, Answered>).map(([method, operation]) => ({ path, method, operation })),
  );
  assert.deepEqual(
    operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort(),
    routes.map(([, { method, path }]) => `${method} ${path.replace(/:(\w+)/, "{$1}")}`).sort(),
  );
  assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, routes.length);
  for (const { path, operation } of operations) {
    assert.equal(operation["x-scope"], (ROUTES as Readonly<Record<string, RouteEntry>>)[operation.operationId]?.access);
    assert.ok(
      Object.keys(operation.responses).some((status) => status.startsWith("2")),
      path,
    );
    for (const status of ["401", "403", "503"]) assert.ok(operation.responses[status] !== undefined, `${path} ${status}`);
    const inPath = (operation.parameters ?? [])
      .filter((each: { in: string }) => each.in === "path")
      .map((each: { name: string }) => each.name);
    assert.deepEqual(
      inPath,
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
    );
  }
  for (const reference of references(document)) {
    const target = reference
      .replace("#/", "")
      .split("/")
      .reduce<Answered>((node, key) => node?.[key], document);
    assert.ok(target !== undefined, reference);
  }
  const limit = document.paths["/api/symphony/failed"].get.parameters.find((each: { name: string }) => each.name === "limit");
  assert.deepEqual(limit, {
    name: "limit",
    in: "query",
    required: false,
    schema: { type: "integer", minimum: 1, maximum: 200, default: 50 },
  });
  const sent = document.paths["/api/symphony/dispatch"].post.requestBody;
  assert.deepEqual([sent.required, sent.content["application/json"].schema.required], [true, ["message"]]);
});

test("the root is a page that needs no token, tells nothing and loads nothing", async (t) => {
  const admin = await startAdmin(t);
  const response = await fetch(`${admin.url}/`);
  const text = await response.text();
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-security-policy") ?? "", /^default-src 'none'/);
  assert.match(text, /href="\/docs"/);
  assert.doesNotMatch(text, /<script|https:/);
  assert.equal((await fetch(`${admin.url}/`, { method: "POST" })).status, 404);
});

test("the page lists every route and may load nothing", async (t) => {
  const admin = await startAdmin(t);
  const { text, headers } = await admin.call("GET", "/docs");
  for (const [, { path }] of routes) assert.ok(text.includes(path.replaceAll(/:(\w+)/g, "{$1}")), path);
  const policy = headers.get("content-security-policy") ?? "";
  assert.match(policy, /^default-src 'none'; style-src 'sha256-/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(text, /<script|https?:/);
});

test("docs/admin-api.md lists every problem with its status, and no other", () => {
  const page = readFileSync(new URL("../../../docs/admin-api.md", import.meta.url), "utf8");
  const listed = [...page.matchAll(/^\| (\d{3}) \| `([A-Z_]+)` \| (.+) \|$/gm)].map(([, status, code, means]) => [
    Number(status),
    code,
    means,
  ]);
  assert.deepEqual(
    listed,
    PROBLEMS.map(({ status, code, means }) => [status, code, means]),
  );
});

test("the page has every parameter, field, problem and scope of the document, and an example for each route", async (t) => {
  const admin = await startAdmin(t);
  const { body: document } = await admin.call("GET", "/openapi.json");
  const { text } = await admin.call("GET", "/docs");
  const section = (id: string): string =>
    /^<section id="[^"]*">.*?<\/section>/s.exec(text.slice(text.indexOf(`<section id="${id}">`)))?.[0] ?? "";
  for (const [path, item] of Object.entries<Record<string, Answered>>(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const shown = section(operation.operationId);
      assert.ok(shown.includes(`${method.toUpperCase()} ${path}`), `${method} ${path}`);
      assert.ok(shown.includes(operation["x-scope"]));
      assert.match(shown, /<pre>curl /);
      for (const { name } of operation.parameters ?? []) assert.ok(shown.includes(`<code>${name}</code>`), `${path} ${name}`);
      for (const name of Object.keys(operation.requestBody?.content["application/json"].schema.properties ?? {}))
        assert.ok(shown.includes(`<code>${name}</code>`), `${path} ${name}`);
      for (const status of Object.keys(operation.responses)) if (status < "300") assert.ok(shown.includes(`Answer ${status}`), path);
    }
  }
  for (const { code, description } of document["x-problems"]) assert.ok(text.includes(`id="${code}"`) && text.includes(description), code);
  assert.doesNotMatch(text, /undefined|\[object|<img|<link|style="|\son[a-z]+="/);
  const ids = [...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const [, target] of text.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.includes(target), `#${target}`);
});
