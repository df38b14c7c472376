import { MessagePort, Worker } from "node:worker_threads";

const counted = new WeakSet<object>();

/** Adds every post of this thread to others, also in a shared cell. Idempotent per thread. */
export function countPosts(posts: SharedArrayBuffer): void {
  const cells = new Int32Array(posts);
  for (const { prototype } of [MessagePort, Worker] as readonly { prototype: { postMessage: (...given: never[]) => void } }[]) {
    if (counted.has(prototype)) continue;
    counted.add(prototype);
    const post = prototype.postMessage;
    prototype.postMessage = function (this: unknown, ...given) {
      Atomics.add(cells, 0, 1);
      return post.apply(this, given);
    };
  }
}
