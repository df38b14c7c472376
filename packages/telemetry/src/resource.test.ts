import assert from "node:assert/strict";
import { test } from "node:test";
import { describeResource } from "./resource.ts";

const ID = "1ebedb637aea644ece9c9eb3f93f41cbe6e5a96ce3961f665b83bd12363ab303";

test("says which container speaks, and nothing outside of one", () => {
  assert.equal(describeResource(ID).attributes["container.id"], ID);
  const { attributes } = describeResource(null);
  assert.ok(!("container.id" in attributes));
  assert.equal(attributes["service.name"], "symphony");
  assert.equal(attributes["process.pid"], process.pid);
});

test("what the pod says of itself beats what is found", (t) => {
  const before = process.env.OTEL_RESOURCE_ATTRIBUTES;
  t.after(() => {
    if (before === undefined) delete process.env.OTEL_RESOURCE_ATTRIBUTES;
    else process.env.OTEL_RESOURCE_ATTRIBUTES = before;
  });
  process.env.OTEL_RESOURCE_ATTRIBUTES = "service.instance.id=pod-1,k8s.pod.name=pod-1,k8s.container.name=worker,container.id=told";
  const { attributes } = describeResource(ID);
  assert.equal(attributes["service.instance.id"], "pod-1");
  assert.equal(attributes["k8s.pod.name"], "pod-1");
  assert.equal(attributes["k8s.container.name"], "worker");
  assert.equal(attributes["container.id"], "told");
});
