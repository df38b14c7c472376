import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { childrenOf, fleetProject, isAlive, probe } from "./testing/fleet-project.ts";

const TWO = ["--processes", "2", "--health-port", "0"];

/** The sum over all series of a metric whose labels contain `label`. */
function sumOf(text: string, metric: string, label = ""): number {
  const lines = text.split("\n").filter((line) => line.startsWith(metric) && line.includes(label));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

test("the sums of a fleet of two processes are what the handlers counted, after kill -9 and SIGHUP", async (t) => {
  const { start, send, lines } = await fleetProject(t);
  const fleet = start(["consume", ...TWO]);
  const [, port = ""] = await fleet.saying(/"health_port":(\d+)/);
  const scrape = (): Promise<string> => probe(Number(port), "metrics");
  const ready = () => waitFor(async () => (await probe(Number(port), "readyz?verbose")).includes("2 of 2 ready"), { timeoutMs: 30_000 });
  const handled = async (count: number): Promise<string> => {
    await waitFor(() => lines().length === count, { what: `${count} handled`, timeoutMs: 30_000 });
    return waitFor(
      async () => {
        const text = await scrape();
        return sumOf(text, "messaging_process_duration_seconds_count", 'message_type="brief"') >= count && text;
      },
      { what: `${count} counted`, timeoutMs: 10_000 },
    );
  };
  await ready();
  await send("brief", 60);
  await handled(60);
  process.kill(childrenOf(fleet.child.pid ?? 0)[0] ?? 0, "SIGKILL");
  await ready();
  await send("brief", 40);
  await handled(100);
  const before = childrenOf(fleet.child.pid ?? 0);
  fleet.child.kill("SIGHUP");
  await waitFor(() => !before.some(isAlive), { what: "the old processes to be gone", timeoutMs: 30_000 });
  await send("brief", 20);
  const text = await handled(120);
  assert.equal(sumOf(text, "messaging_process_duration_seconds_count"), 120);
  assert.equal(sumOf(text, "messaging_client_consumed_messages_total", 'messaging_destination_name="default"'), 120);
  assert.equal(sumOf(text, "symphony_worker_restarts_total", 'symphony_reason="crashed"'), 1);
  assert.equal(sumOf(text, "symphony_worker_restarts_total", 'symphony_reason="planned"'), 2);
  assert.equal(sumOf(text, "symphony_worker_processes", 'symphony_state="ready"'), 2);
  assert.equal(sumOf(text, "symphony_worker_slots"), 10);
  assert.match(text, /^symphony_queue_ready\{messaging_destination_name="default"\} \d+$/m);
  assert.match(text, /^symphony_queue_oldest_age_seconds\{messaging_destination_name="default"\} /m);
  assert.ok(sumOf(text, "symphony_poll_last_age_seconds") < 5);
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});

test("gives its metrics to whoever shows SYMPHONY_METRICS_TOKEN, and to nobody else", async (t) => {
  const { start } = await fleetProject(t, { SYMPHONY_METRICS_TOKEN: "for-prometheus-only" });
  const fleet = start(["consume", ...TWO]);
  const [, port = ""] = await fleet.saying(/"health_port":(\d+)/);
  const ask = (headers: Readonly<Record<string, string>> = {}): Promise<Response> => fetch(`http://127.0.0.1:${port}/metrics`, { headers });
  assert.equal((await ask()).status, 401);
  const given = await ask({ authorization: "Bearer for-prometheus-only" });
  assert.deepEqual([given.status, (await given.text()).includes("symphony_worker_slots")], [200, true]);
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});
