import { BroadcastChannel, threadId } from "node:worker_threads";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";

/** Handlers that leave something behind in their thread, and services that clear it away, or cannot. */

export const Leave = defineMessage("leave", { retry: { maxRetries: 0 } });

const channel = new BroadcastChannel("worker-runner-tests");
channel.unref();
let left: number | undefined;
let isBroken = false;

export default defineConfig({
  transports: { default: { dsn: "memory:" } },
  handlers: [
    defineHandler(Leave, (payload, { messageId }) => {
      const { n, breaks = false } = payload as { n: number; breaks?: boolean };
      channel.postMessage({ what: left === undefined ? "clean" : "stained", messageId, threadId });
      left = n;
      isBroken = breaks;
    }),
  ],
  resettable: {
    broken: {
      reset() {
        if (isBroken) throw new Error("cannot be put back");
      },
    },
    left: () => {
      left = undefined;
    },
  },
});
