import { canAttach } from "./attachment.ts";
import { Host } from "./host.ts";
import { filesOf, locate } from "./location.ts";
import { tryLock } from "./lock.ts";
import { complain } from "./log-file.ts";
import { deadlineIn, until } from "./timing.ts";

// The program that clients start in a process of its own: `host-main DIRECTORY`. Many may be started at once; one wins
// the lock, the others leave as soon as they can reach it. The wait is for a host that is just stopping.
const LOCK_WITHIN_MS = 60_000;

const location = locate(process.argv[2] ?? "");
const files = filesOf(location.directory);

const lock = await until(async () => {
  const taken = tryLock(files.lock);
  if (taken !== undefined) return taken;
  return (await canAttach(files.host)) ? "served" : undefined;
}, deadlineIn(LOCK_WITHIN_MS));

if (lock === "served") process.exit(0);
if (lock === undefined) {
  complain(`another process holds ${files.lock} and does not answer; is it in another container?`);
  process.exit(1);
}

const host = new Host(location);
for (const name of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) process.on(name, () => void host.end(0));
process.on("SIGHUP", () => undefined);
process.on("uncaughtException", (error) => {
  complain(error);
  void host.end(1);
});
process.exit(await host.run());
