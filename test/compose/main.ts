import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { CannotRunHere, Engine, run } from "../container/engine.ts";
import { Report } from "../support/report.ts";
import { Compose, type Stand } from "./compose.ts";

/**
 * Starts deploy/compose.yaml as it is, short of what no registry gives here, and uses it as its reader would: a demo goes
 * through the fleet, a message is dispatched over HTTP and handled, metrics are scraped. Then all of it is taken down.
 *
 *   npm run compose
 *
 * Exit code 77: this machine cannot run it; the reason is printed. Images that it makes are kept with KEEP_IMAGES=1.
 */
const SKIPPED = 77;
const WITHIN_MS = 90_000;
const DEMO_WITHIN_MS = 400_000;
const SUMMARISE = "repository.summarise";

async function main(): Promise<number> {
  let engine: Engine;
  try {
    engine = await Engine.find();
    if ((await engine.try(["compose", "version"])).code !== 0) throw new CannotRunHere(`${engine.name} has no compose`);
    await engine.provide("node:24-bookworm-slim", "node");
    await engine.provide("postgres:17", "postgres");
    await engine.assertRuns("node:24-bookworm-slim");
  } catch (error) {
    if (!(error instanceof CannotRunHere)) throw error;
    process.stdout.write(`SKIPPED: ${error.message}\n`);
    return SKIPPED;
  }
  const report = new Report();
  const directory = mkdtempSync(join(tmpdir(), "symphony-compose-"));
  const compose = new Compose(engine, await standIns(engine, directory), directory);
  try {
    await check(compose, report);
  } finally {
    await report.step("everything is gone afterwards", () => compose.down(process.env.KEEP_IMAGES === "1"));
    rmSync(directory, { recursive: true, force: true });
  }
  for (const [service, why] of Object.entries(compose.absent)) process.stdout.write(`NOT RUN: ${service}: ${why}\n`);
  process.stdout.write(`${report.passes} passed, ${report.failures} failed\n`);
  return report.failures === 0 ? 0 : 1;
}

async function check(compose: Compose, report: Report): Promise<void> {
  const isUp = await report.step("the images are built and the services start, by the commands in the docs", async () => {
    await compose.must(["build", "base"], 400_000);
    await compose.must(["up", "--build", "--detach", ...compose.present], 300_000);
    return compose.present.join(", ");
  });
  if (!isUp) return;
  const token = compose.token;
  const admin = await compose.address("admin", 8080);
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${admin}/api/symphony/${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      signal: AbortSignal.timeout(10_000),
    });
  await report.step("fleet and admin API get healthy", () => healthy(compose));
  await report.step("the demo goes through the fleet, and every message is accounted for", async () => {
    const said = await compose.must(["run", "--rm", "demo"], DEMO_WITHIN_MS);
    assert.match(said, /Every message is accounted for/);
    return /\d+ messages handled in [\d.]+ s/.exec(said)?.[0];
  });
  await report.step("a message that is dispatched over HTTP is handled by the fleet", () => dispatched(ask));
  await report.step("fleet and admin API answer a scrape of their metrics", () => scraped(compose));
  if (compose.present.includes("prometheus")) await report.step("Prometheus finds both, and its rules are loaded", () => watched(compose));
}

async function healthy(compose: Compose): Promise<undefined> {
  await until("healthy", async () => {
    const states = await compose.states();
    return ["fleet", "admin"].every((service) => states[service] === "healthy");
  });
  return undefined;
}

async function dispatched(ask: (path: string, init?: RequestInit) => Promise<Response>): Promise<string> {
  const payload = { runId: randomUUID(), repository: "symphony/messenger" };
  const body = JSON.stringify({ message: { type: SUMMARISE, payload }, options: { idempotencyKey: payload.runId } });
  const answer = await ask("dispatch", { method: "POST", body });
  const text = await answer.text();
  assert.ok(answer.ok, `${answer.status} ${text}`);
  const { messageId } = JSON.parse(text) as { messageId: string };
  const startedAt = performance.now();
  await until("handled", async () => {
    const { message } = (await (await ask(`messages/${messageId}`)).json()) as { message: { state: string } };
    return message.state === "handled";
  });
  return `handled ${Math.round(performance.now() - startedAt)} ms after the answer`;
}

async function scraped(compose: Compose): Promise<string> {
  const read = `fetch("http://127.0.0.1:8081/metrics").then((r) => r.text()).then((t) => process.stdout.write(t))`;
  const [fleet = "", admin = ""] = await Promise.all(
    ["fleet", "admin"].map((service) => compose.must(["exec", "-T", service, "node", "-e", read])),
  );
  const handled = new RegExp(`^messaging_process_duration_seconds_count\\{.*symphony_message_type="${SUMMARISE}".*\\} (\\d+)$`, "m").exec(
    fleet,
  );
  assert.ok(Number(handled?.[1]) > 0, fleet.slice(0, 2_000));
  assert.match(admin, /^messaging_client_sent_messages_total\{.*\} 1$/m, admin.slice(0, 2_000));
  return `${handled?.[1]} of ${SUMMARISE} by the fleet`;
}

interface Up {
  readonly result: readonly { readonly metric: { readonly job: string }; readonly value: readonly [number, string] }[];
}

async function watched(compose: Compose): Promise<string> {
  const prometheus = await compose.address("prometheus", 9090);
  const get = async <T>(path: string): Promise<T> => {
    const answer = await fetch(`${prometheus}/api/v1/${path}`, { signal: AbortSignal.timeout(10_000) });
    return ((await answer.json()) as { data: T }).data;
  };
  let up: Up["result"] = [];
  await until("both targets up", async () => {
    up = (await get<Up>("query?query=up").catch(() => ({ result: [] }))).result;
    return ["symphony-fleet", "symphony-admin"].every((job) => up.some(({ metric, value }) => metric.job === job && value[1] === "1"));
  });
  const { groups } = await get<{ groups: readonly { rules: readonly { health: string }[] }[] }>("rules");
  const rules = groups.flatMap((group) => group.rules);
  assert.ok(rules.length > 0);
  return `${up.length} targets, ${rules.length} rules`;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + WITHIN_MS;
  while (!(await holds().catch(() => false))) {
    if (performance.now() > end) throw new Error(`not ${what} within ${WITHIN_MS / 1_000} s`);
    await pause(300);
  }
}

/** Images for services of others, made of what this machine has; why there is none for the rest. */
async function standIns(engine: Engine, directory: string): Promise<readonly Stand[]> {
  const stands: Stand[] = [];
  for (const { service, program, entrypoint } of [
    { service: "prometheus", program: "prometheus", entrypoint: "/bin/prometheus" },
    { service: "collector", program: process.env.OTELCOL ?? "otelcol", entrypoint: "/bin/otelcol" },
  ]) {
    const path = (await run("sh", ["-c", 'command -v "$0"', program])).out.trim();
    if (path === "") {
      stands.push({ service, missing: `no registry was asked for its image, and there is no ${program} on this machine to make one of` });
      continue;
    }
    const image = `symphony-test/${service}:${randomBytes(4).toString("hex")}`;
    const context = mkdtempSync(join(directory, `${service}-`));
    copyFileSync(path, join(context, "program"));
    writeFileSync(
      join(context, "Dockerfile"),
      `FROM node:24-bookworm-slim\nCOPY --chmod=755 program ${entrypoint}\nENTRYPOINT ["${entrypoint}"]\n`,
    );
    await engine.must(["build", "-q", "-t", image, context], 120_000);
    stands.push({ service, image });
  }
  for (const service of ["jaeger", "grafana"]) stands.push({ service, missing: "its image comes from a registry only" });
  return stands;
}

process.exitCode = await main();
