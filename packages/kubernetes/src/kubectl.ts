import { execFile } from "node:child_process";
import { failure } from "./api-client.ts";
import type { Kubectl } from "./guarded-scale.ts";

/** Milliseconds. */
const ENDS_WITHIN_MS = 30_000;
const LONGEST_OUTPUT = 32 * 1_048_576;

/** The kubectl of the PATH, or the one at `program`. Words are passed as they are, through no shell. */
export function createKubectl(program = "kubectl", environment: NodeJS.ProcessEnv = process.env): Kubectl {
  return (words) =>
    new Promise((resolve, reject) => {
      const options = { env: environment, timeout: ENDS_WITHIN_MS, maxBuffer: LONGEST_OUTPUT };
      execFile(program, [...words], options, (error, out, err) => {
        if (error === null) return resolve(out);
        // What it said is passed on to a person, and never looked into.
        const why = err.trim() || (error.killed === true ? `it did not end within ${ENDS_WITHIN_MS} ms` : error.message);
        reject(failure(`kubectl failed: ${why}`, error));
      });
    });
}
