import { createMessenger } from "@symphony/core";
import { runWorkerProcess } from "../run-worker-process.ts";
import config from "./killed.config.ts";

/** A worker process with one thread, until its queue is empty or it is killed. */
const messenger = await createMessenger(config);
const worker = { queues: ["transfers"], stopWhenEmpty: true, pollInterval: 50 };
await runWorkerProcess({ configPath: new URL("./killed.config.ts", import.meta.url).href, messenger, threads: 1, worker }).start();
await messenger.close();
