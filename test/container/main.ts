import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Report } from "../support/report.ts";
import { CannotRunHere, Engine, ROOT, run } from "./engine.ts";
import { checkExitCodes, checkFiles, checkImage } from "./image-checks.ts";
import { runMainJob } from "./main-job.ts";

/**
 * Builds the image and the application image from the Dockerfiles as they are, and runs them as a cluster would.
 *
 *   npm run container
 *
 * Exit code 77: this machine cannot run containers; the reason is printed. With KEEP_IMAGES=1 they stay.
 */
const SKIPPED = 77;
const DATABASE_WITHIN_MS = 60_000;

async function main(): Promise<number> {
  const report = new Report();
  let engine: Engine;
  try {
    engine = await Engine.find();
    await engine.provide("node:24-bookworm-slim", "node");
    await engine.provide("postgres:17", "postgres");
    await engine.assertRuns("node:24-bookworm-slim");
  } catch (error) {
    if (!(error instanceof CannotRunHere)) throw error;
    process.stdout.write(`SKIPPED: ${error.message}\n`);
    return SKIPPED;
  }
  const suffix = randomBytes(4).toString("hex");
  const names = {
    image: `symphony-test/messenger:${suffix}`,
    app: `symphony-test/github-webhooks:${suffix}`,
    network: `symphony-test-${suffix}`,
    database: `symphony-test-${suffix}-postgres`,
    fleet: `symphony-test-${suffix}-fleet`,
    job: `symphony-test-${suffix}-job`,
  };
  try {
    await report.step("both images are built from the Dockerfiles as they are", async () => {
      const revision = (await run("git", ["rev-parse", "HEAD"])).out.trim();
      const args = ["--build-arg", `REVISION=${revision}`, "--build-arg", `CREATED=${new Date().toISOString()}`];
      await engine.must(["build", "-t", names.image, ...args, ROOT], 400_000);
      await engine.must(
        ["build", "-t", names.app, "-f", "deploy/Dockerfile.app", "--build-arg", `SYMPHONY_IMAGE=${names.image}`, ROOT],
        200_000,
      );
      return undefined;
    });
    if (report.failures > 0) return 1;
    await checkImage(engine, names.image, report);
    await checkFiles(engine, names.image, report);
    await engine.must(["network", "create", names.network]);
    await startDatabase(engine, names);
    await checkExitCodes(engine, { ...names, databaseUrl: databaseUrl(names) }, report);
    await runMainJob(engine, { ...names, databaseUrl: databaseUrl(names) }, report);
  } finally {
    await engine.try(["rm", "-f", "-v", names.job, names.fleet, names.database]);
    await engine.try(["network", "rm", names.network]);
    if (process.env.KEEP_IMAGES !== "1") await engine.try(["rmi", "-f", names.app, names.image]);
  }
  process.stdout.write(`${report.passes} passed, ${report.failures} failed\n`);
  return report.failures === 0 ? 0 : 1;
}

const databaseUrl = ({ database }: { database: string }): string => `postgresql://postgres:secret@${database}:5432/postgres`;

async function startDatabase(engine: Engine, { database, network }: { database: string; network: string }): Promise<void> {
  const args = ["run", "-d", "--name", database, "--network", network, "--tmpfs", "/var/lib/postgresql/data:rw,size=1g"];
  await engine.must([...args, "-e", "POSTGRES_PASSWORD=secret", "postgres:17"]);
  const until = Date.now() + DATABASE_WITHIN_MS;
  // Over TCP: while it is being made it answers on its socket only.
  while ((await engine.try(["exec", database, "pg_isready", "-q", "-h", "127.0.0.1"])).code !== 0) {
    if (Date.now() > until) throw new Error("PostgreSQL did not start");
    await pause(300);
  }
}

process.exitCode = await main();
