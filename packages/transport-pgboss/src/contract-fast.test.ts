import { describeTransportContract } from "@symphony/core/testing";
import { ALL_CAPABILITIES, contractFixture, TestSchema, testDatabase } from "./testing/database.ts";

const schema = new TestSchema(await testDatabase());

describeTransportContract("pgboss, own statements", {
  capabilities: ALL_CAPABILITIES,
  create: ({ queues }) => contractFixture(schema, queues),
});
