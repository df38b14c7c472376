// Who may import whom: the table in the style guide, as rules. `npm run imports` checks them.

const tests = "(^|/)testing/|\\.test(\\.fixture)?\\.ts$";
const shipped = { path: "^packages/[^/]+/src/", pathNot: tests };

/** Forbids every import of the package that is not the package itself or matches one of `allowed`. */
function only(name, path, allowed, comment) {
  return {
    name,
    comment,
    severity: "error",
    from: { path: `^packages/${path}/src/`, pathNot: tests },
    to: { pathNot: [`^packages/${path}/src/`, ...allowed], dependencyTypesNot: ["core"] },
  };
}

const npm = (...names) => `^node_modules/(@types/)?(${names.join("|")})/`;
const own = (...names) => `^packages/(${names.join("|")})/src/`;

export default {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "resolvable",
      comment: "Also what a package does not export: only public entry points of other packages can be imported.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "no-way-around-the-entry-points",
      comment: "Another package is imported by its name, not by a path into its sources.",
      severity: "error",
      from: { path: "^(packages/[^/]+|examples/[^/]+|test)/" },
      to: { path: "^(packages|examples)/", pathNot: "^$1/", dependencyTypes: ["local"] },
    },
    only(
      "core-stands-alone",
      "core",
      [npm("@opentelemetry/api", "@standard-schema/spec")],
      "node:*, the OpenTelemetry API, types of Standard Schema.",
    ),
    {
      name: "core-takes-only-types-of-standard-schema",
      severity: "error",
      from: { path: "^packages/core/src/" },
      to: { path: npm("@standard-schema/spec"), dependencyTypesNot: ["type-only"] },
    },
    // The server behind `embedded:` is an optional peer, loaded when a DSN asks for it.
    only("transport-knows-core-and-its-driver", "transport-pgboss", [own("core"), own("embedded-postgres"), npm("pg", "pg-boss")]),
    only("worker-runner-knows-no-transport", "worker-runner", [own("core"), npm("piscina")]),
    only("admin-api-knows-no-driver", "admin-api", [own("core"), npm("koa", "@koa/router", "jose", "zod")]),
    only("telemetry-knows-core", "telemetry", [own("core"), npm("pino", "pino-pretty", "@opentelemetry/[^/]+", "import-in-the-middle")]),
    only("kubernetes-knows-core", "kubernetes", [own("core")], "kubectl, the API server, and numbers that are given to it."),
    only("embedded-postgres-stands-alone", "embedded-postgres", [npm("embedded-postgres")]),
    {
      name: "no-test-code-in-what-ships",
      severity: "error",
      from: shipped,
      to: { path: [tests, "^test/", "^examples/", npm("fast-check")] },
    },
    {
      name: "no-development-dependencies-in-what-ships",
      severity: "error",
      from: shipped,
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["npm", "npm-peer", "npm-optional", "type-only"] },
    },
    {
      name: "declared-dependencies",
      comment: "What is imported is in the package.json of the importing package, not just hoisted by another one.",
      severity: "error",
      from: {},
      // fast-check is in the root package.json, for the tests of all.
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"], pathNot: npm("fast-check") },
    },
    { name: "no-deprecated-modules", severity: "error", from: {}, to: { dependencyTypes: ["deprecated"] } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    // Only our own: most of what is in node_modules lives in a dist, too.
    exclude: { path: "^(packages|examples)/[^/]+/dist/" },
    // Imports of types count: they are what the layering is about.
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    enhancedResolveOptions: {
      conditionNames: ["source", "types", "import", "node", "default"],
      exportsFields: ["exports"],
      extensions: [".ts", ".mts", ".js", ".mjs", ".cjs", ".json", ".d.ts"],
    },
    skipAnalysisNotInRules: true,
  },
};
