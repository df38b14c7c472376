import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { silentLogger } from "@symphony/core";
import { ManualClock } from "@symphony/core/testing";
import { createApi } from "./api-client.ts";
import { Autoscaler, type LoadSource, type ScaledPool } from "./autoscaler.ts";

const POOL: ScaledPool = {
  deployment: "workers",
  queues: ["images"],
  minReplicas: 1,
  maxReplicas: 10,
  targetBacklogPerReplica: 100,
  slotsPerReplica: 10,
};

interface Patch {
  readonly path: string;
  readonly type: string | undefined;
  readonly body: unknown;
}

/** An API server with one Deployment and some pods; real HTTP. */
async function apiServer(t: TestContext, o: { replicas: number; pods?: Readonly<Record<string, string>>; refuse?: number }) {
  const state = { replicas: o.replicas, version: 1, patches: [] as Patch[], tokens: new Set<string | undefined>(), refuse: o.refuse };
  const scale = () => ({ metadata: { resourceVersion: String(state.version) }, spec: { replicas: state.replicas } });
  const pods = () => ({
    items: Object.entries(o.pods ?? {}).map(([name, cost]) => ({
      metadata: { name, annotations: cost === "" ? {} : { "controller.kubernetes.io/pod-deletion-cost": cost } },
    })),
  });
  const server = createServer(async (request, response) => {
    state.tokens.add(request.headers.authorization);
    const answer = (status: number, body: unknown): void => void response.writeHead(status).end(JSON.stringify(body));
    if (state.refuse !== undefined) return answer(state.refuse, { message: "no" });
    const path = request.url ?? "";
    if (request.method === "PATCH") {
      const body = JSON.parse(await bodyOf(request)) as { spec?: { replicas: number } };
      state.patches.push({ path, type: request.headers["content-type"], body });
      if (body.spec !== undefined) state.replicas = body.spec.replicas;
      state.version += 1;
    }
    return answer(200, path.endsWith("/scale") ? scale() : pods());
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { state, api: createApi({ url, namespace: "prod", token: () => "secret" }) };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text;
}

const source = (ready: number, pods: LoadSource["pods"] = async () => []): LoadSource => ({
  counts: async () => [
    { queue: "images", ready, active: 0 },
    { queue: "other", ready: 100_000, active: 0 },
  ],
  pods,
});

const SCALE = "/apis/apps/v1/namespaces/prod/deployments/workers/scale";

describe("Autoscaler", () => {
  test("patches nothing but the scale, by the backlog of the pool's own queues, from the version that it has read", async (t) => {
    const { state, api } = await apiServer(t, { replicas: 2 });
    const scaler = new Autoscaler({ ...common(), api, source: source(350) });
    await scaler.look();
    assert.deepEqual(state.patches, [
      { path: SCALE, type: "application/merge-patch+json", body: { metadata: { resourceVersion: "1" }, spec: { replicas: 4 } } },
    ]);
    assert.deepEqual([...state.tokens], ["Bearer secret"]);
    await scaler.look();
    assert.equal(state.patches.length, 1, "what is right is left alone");
  });

  test("leaves the pool as it is while the store or the API server cannot be asked, and comes back", async (t) => {
    const { state, api } = await apiServer(t, { replicas: 3 });
    const away: LoadSource = { counts: () => Promise.reject(new Error("away")), pods: async () => [] };
    await new Autoscaler({ ...common(), api, source: away }).look();
    assert.deepEqual(state.patches, []);
    const scaler = new Autoscaler({ ...common(), api, source: source(900) });
    state.refuse = 403;
    await scaler.look();
    state.refuse = undefined;
    await scaler.look();
    assert.equal(state.replicas, 7);
  });

  test("writes deletion costs from what pods have in flight, and only where they changed", async (t) => {
    const { state, api } = await apiServer(t, { replicas: 4, pods: { "w-1": "", "w-2": "5", "w-3": "9", api: "" } });
    const pods = async () => [
      { pod: "w-1", inFlight: 2 },
      { pod: "w-1", inFlight: 1 },
      { pod: "w-2", inFlight: 5 },
      { pod: "w-3", inFlight: 0 },
    ];
    await new Autoscaler({ ...common(), api, source: source(0, pods), deletionCost: true, pools: [] }).look();
    assert.deepEqual(
      state.patches.map(({ path, body }) => [path, body]),
      [
        ["/api/v1/namespaces/prod/pods/w-1", { metadata: { annotations: { "controller.kubernetes.io/pod-deletion-cost": "3" } } }],
        ["/api/v1/namespaces/prod/pods/w-3", { metadata: { annotations: { "controller.kubernetes.io/pod-deletion-cost": "0" } } }],
      ],
    );
  });

  test("looks again after its interval, and no more when it has been stopped", async (t) => {
    const { state, api } = await apiServer(t, { replicas: 1 });
    const clock = new ManualClock();
    const scaler = new Autoscaler({ ...common(), api, source: source(1_000), clock });
    scaler.start();
    await scaler.stop();
    assert.equal(state.replicas, 5);
    clock.advance(60_000);
    await scaler.stop();
    assert.equal(state.patches.length, 1);
  });
});

const common = () => ({ pools: [POOL], everyMs: 15_000, deletionCost: false, clock: new ManualClock(), logger: silentLogger });
