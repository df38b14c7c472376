import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { EmbeddedPostgresError } from "./errors.ts";

export const DEFAULT_DIRECTORY = ".symphony/postgres";

/** The user that PostgreSQL runs as when we are root, which it refuses to be. */
export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface Location {
  /** Holds everything: data, credentials, logs, the lock. Canonical, so that all processes agree on it. */
  readonly directory: string;
  /** Undefined: the same user as ours. */
  readonly serverUser: ServerUser | undefined;
}

/** The files of a location, in one place. */
export const filesOf = (directory: string) => ({
  data: join(directory, "data"),
  /** Password and port of the server; 0600. */
  credentials: join(directory, "credentials.json"),
  /** Address and token of the running host; 0600. */
  host: join(directory, "host.json"),
  lock: join(directory, "host.lock"),
  hostLog: join(directory, "host.log"),
  serverLog: join(directory, "postgres.log"),
});

/**
 * Finds, and makes, the directory that stands for `requested`.
 *
 * It is `requested` itself, with one exception: for root, PostgreSQL runs as another user, who must be able to reach the
 * directory. Where that is not so (below `/root`, mostly) it is `symphony-postgres-0/<hash of the path>` in the
 * directory for temporary files, and the file `origin` in there names the path that was asked for.
 *
 * @throws {EmbeddedPostgresError} it belongs to somebody else, or cannot be made.
 */
export function locate(requested: string): Location {
  try {
    const location = place(requested);
    accessSync(location.directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return location;
  } catch (cause) {
    if (cause instanceof EmbeddedPostgresError) throw cause;
    throw new EmbeddedPostgresError(`cannot use the directory ${requested}: ${cause}`, cause);
  }
}

function place(requested: string): Location {
  const wanted = canonical(resolve(requested));
  const serverUser = process.getuid?.() === 0 ? findServerUser() : undefined;
  if (serverUser === undefined) {
    mkdirSync(wanted, { recursive: true, mode: 0o700 });
    return { directory: wanted, serverUser };
  }
  if (canReach(nearestExisting(wanted), serverUser)) {
    const made = mkdirSync(wanted, { recursive: true });
    // Traversable, not listable: the server only needs the data directory, which is its own.
    if (made !== undefined) chmodSync(wanted, 0o711);
    // Not so if a strict umask has closed the directories above that were just made.
    if (canReach(wanted, serverUser)) return { directory: wanted, serverUser };
  }
  const directory = join(temporaryBase(serverUser), createHash("sha256").update(wanted).digest("hex").slice(0, 16));
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o711);
  writeFileSync(join(directory, "origin"), `${wanted}\n`);
  return { directory, serverUser };
}

/** A directory of ours for temporary files that `user` can reach. Refuses one that somebody else has put there. */
export function temporaryBase(user: ServerUser): string {
  const base = join(realpathSync(tmpdir()), `symphony-postgres-${process.getuid?.() ?? "user"}`);
  mkdirSync(base, { recursive: true });
  const found = lstatSync(base);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new EmbeddedPostgresError(`${base} belongs to somebody else`);
  chmodSync(base, 0o711);
  if (!canReach(base, user)) {
    throw new EmbeddedPostgresError(
      `the user ${user.name}, as which PostgreSQL runs, cannot reach ${base}; set TMPDIR to a directory it can`,
    );
  }
  return base;
}

/** Whether `user` may pass through every directory down to `path`, and through `path` if it is one. Knows mode bits, not ACLs. */
export function canReach(path: string, user: ServerUser): boolean {
  const directories = statSync(path).isDirectory() ? [path] : [];
  for (let at = path; at !== dirname(at); at = dirname(at)) directories.push(dirname(at));
  return directories.every((directory) => mayAccess(directory, user, 0o1));
}

/** Whether the mode bits of `path` give `user` all of `bits` (4 read, 2 write, 1 execute or traverse). */
export function mayAccess(path: string, user: ServerUser, bits: number): boolean {
  const { mode, uid, gid } = statSync(path);
  const shift = uid === user.uid ? 6 : gid === user.gid ? 3 : 0;
  return ((mode >> shift) & bits) === bits;
}

function findServerUser(): ServerUser {
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const wanted of ["postgres", "_postgres", "nobody"]) {
    const [name, , uid, gid] = users.find((fields) => fields[0] === wanted) ?? [];
    // `>>> 0`: macOS writes the ids of nobody as -2.
    if (name !== undefined && Number(uid) !== 0) return { name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
  }
  throw new EmbeddedPostgresError("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as");
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}

// Two spellings of one directory (through a symbolic link) must not become two servers on the same data.
function canonical(path: string): string {
  return existsSync(path) || path === dirname(path) ? realpathSync(path) : join(canonical(dirname(path)), basename(path));
}
