import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { createMessenger, defineMessage, type Messenger } from "@symphony/core";
import { type AdminBed, openAdminBed } from "../admin/admin-bed.ts";
import { Processes } from "../support/processes.ts";
import { attack, type ClientJob, type ClientReport, type Kind } from "./client.ts";

/**
 * `npm run slow-clients [-- SECONDS [CONNECTIONS]]`: what slow clients of the admin listener do to its probes, to others
 * who ask it something, and to a fleet that works at a steady rate. Exit 1 when a goal is missed.
 */
const [seconds = 30, connections = 10_000] = process.argv[2] === "client" ? [] : process.argv.slice(2).map(Number);

const CONFIG = fileURLToPath(new URL("../admin/symphony.config.ts", import.meta.url));
/** p99 of a probe, milliseconds; share of what is sent that is handled in the same time. */
const GOALS = { probeP99Ms: 100, handled: 0.95 };
const PER_SECOND = 200;
const TICK_MS = 100;
const PROBE_EVERY_MS = 50;
const ASK_EVERY_MS = 250;
/** Each has file descriptors and an address of its own. */
const PER_PROCESS = 2_000;
/** Slow ones hold more than a connection, and no more are let in anyway. */
const SLOW = Math.min(connections, 2_000);

interface Phase {
  readonly name: string;
  readonly kind?: Kind;
  readonly connections: number;
}

const PHASES: readonly Phase[] = [
  { name: "nobody", connections: 0 },
  { name: "idle connections", kind: "idle", connections },
  { name: "slow headers", kind: "headers", connections: SLOW },
  { name: "slow bodies, with a token", kind: "bodies", connections: SLOW },
  { name: "slow readers, with a token", kind: "readers", connections: SLOW },
];

const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN) * 10) / 10;
};

/** Milliseconds until the answer is whole; undefined: there was none, or not 200. */
function timed(url: string, agent: Agent | false, headers: Readonly<Record<string, string>> = {}): Promise<number | undefined> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const request = get(url, { agent, headers, timeout: 5_000 }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode === 200 ? performance.now() - startedAt : undefined));
      response.once("error", () => resolve(undefined));
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(undefined));
  });
}

/** Asks again and again, one question every so many milliseconds whether the last was answered or not. */
function repeat(everyMs: number, ask: () => Promise<number | undefined>) {
  const times: number[] = [];
  let asked = 0;
  const timer = setInterval(() => {
    asked += 1;
    void ask().then((ms) => ms !== undefined && times.push(ms));
  }, everyMs);
  return () => {
    clearInterval(timer);
    return { asked, times };
  };
}

const Ping = defineMessage("test.ping");

/** Sends at a steady rate, whatever becomes of it. */
function produce(messenger: Messenger): () => number {
  let sent = 0;
  const timer = setInterval(() => {
    const items = Array.from({ length: (PER_SECOND * TICK_MS) / 1_000 }, () => ({ type: Ping, payload: {} }));
    void messenger.dispatchMany(items).then((results) => {
      sent += results.filter((result) => !("error" in result)).length;
    });
  }, TICK_MS);
  return () => {
    clearInterval(timer);
    return sent;
  };
}

const residentMb = (pid: number): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024);

interface Bench {
  readonly bed: AdminBed;
  readonly probe: string;
  readonly messenger: Messenger;
}

function startClients({ kind, connections: count }: Phase, { bed }: Bench): readonly ChildProcess[] {
  if (kind === undefined) return [];
  return Array.from({ length: Math.ceil(count / PER_PROCESS) }, (_, i) => {
    const job: ClientJob = {
      kind,
      url: bed.url,
      connections: Math.min(PER_PROCESS, count - i * PER_PROCESS),
      localAddress: `127.0.0.${i + 2}`,
      token: bed.tokens.all,
    };
    return fork(fileURLToPath(import.meta.url), ["client", JSON.stringify(job)], { execArgv: ["--conditions=source"] });
  });
}

/** Ends them; resolves with what they have come to. */
async function endClients(clients: readonly ChildProcess[]): Promise<ClientReport> {
  const reports = await Promise.all(
    clients.map(
      (client) =>
        new Promise<ClientReport>((resolve) => {
          client.once("message", (report) => resolve(report as ClientReport));
          client.send("end");
        }),
    ),
  );
  const sum = (of: keyof ClientReport): number => reports.reduce((total, report) => total + report[of], 0);
  return { opened: sum("opened"), open: sum("open"), closed: sum("closed") };
}

async function measure(phase: Phase, bench: Bench) {
  const { bed, probe, messenger } = bench;
  const depth = () => messenger.transport("default").getQueueDepth();
  const clients = startClients(phase, bench);
  const stopProbing = repeat(PROBE_EVERY_MS, () => timed(probe, keptAlive));
  const stopAsking = repeat(ASK_EVERY_MS, () =>
    timed(`${bed.url}/api/symphony/status`, false, { authorization: `Bearer ${bed.tokens.scoped["symphony:read"]}` }),
  );
  const before = await depth();
  const stopProducing = produce(messenger);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const sent = stopProducing();
  const left = (await depth()) - before;
  const [probes, asked] = [stopProbing(), stopAsking()];
  const rssMb = residentMb(bed.process.pid);
  const reached = await endClients(clients);
  const handled = Math.round(Math.min(1, (sent - left) / sent) * 1_000) / 1_000;
  const probeP99Ms = quantile(probes.times, 0.99);
  return {
    clients: phase.name,
    connections: phase.connections,
    ...(phase.kind === undefined ? {} : { opened: reached.opened, stillOpen: reached.open }),
    probes: probes.asked,
    probesAnswered: probes.times.length,
    probeP50Ms: quantile(probes.times, 0.5),
    probeP99Ms,
    sentPerSecond: Math.round(sent / seconds),
    handled,
    statusAsked: asked.asked,
    statusAnswered: asked.times.length,
    statusP95Ms: quantile(asked.times, 0.95),
    rssMb,
    met: probeP99Ms <= GOALS.probeP99Ms && handled >= GOALS.handled && probes.asked - probes.times.length <= 1,
  };
}

const keptAlive = new Agent({ keepAlive: true, maxSockets: 4 });

async function main(): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const bed = await openAdminBed({ env: { SYMPHONY_TEST_NARROW: "1" } });
  undo.defer(() => bed.stop());
  const { json } = await bed.process.waitForLine("probes and metrics listening");
  const processes = new Processes();
  undo.defer(() => processes.end());
  process.env.SYMPHONY_TEST_DSN = bed.database.connectionString;
  const fleet = processes.symphony(["consume", "--config", CONFIG, "--processes", "1", "--json"], { env: { SYMPHONY_HEALTH_PORT: "0" } });
  await fleet.waitForLine("fleet starting");
  const { default: config } = (await import("../admin/symphony.config.ts")) as { default: Parameters<typeof createMessenger>[0] };
  const messenger = await createMessenger(config);
  undo.defer(() => messenger.close());
  undo.defer(() => keptAlive.destroy());
  const probe = `http://127.0.0.1:${String(json?.health_port)}/livez`;
  for (const phase of PHASES) {
    const row = await measure(phase, { bed, probe, messenger });
    process.stdout.write(`${JSON.stringify(row)}\n`);
    if (!row.met || bed.process.exited) process.exitCode = 1;
  }
}

function client(job: ClientJob): void {
  const report = attack(job);
  process.on("message", () => {
    process.send?.(report());
    process.disconnect();
    process.exit(0);
  });
}

if (process.argv[2] === "client") client(JSON.parse(process.argv[3] ?? "{}") as ClientJob);
else await main();
