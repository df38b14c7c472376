// Loads what the commands of the image load, so that Node.js keeps the compiled code (NODE_COMPILE_CACHE) when this ends.
const packages = "/symphony/packages";
for (const module of [
  "cli/dist/cli.js",
  "cli/dist/commands/consume.js",
  "cli/dist/commands/admin.js",
  "cli/dist/commands/health.js",
  "cli/dist/commands/setup.js",
  "cli/dist/fleet/plan.js",
  "cli/dist/fleet/run-fleet.js",
  "admin-api/dist/index.js",
  "transport-pgboss/dist/factory.js",
  "transport-pgboss/dist/index.js",
  "worker-runner/dist/index.js",
])
  await import(`${packages}/${module}`);
