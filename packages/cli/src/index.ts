export { workerLogger } from "./commands/consume.ts";
export { type LoadedConfig, type LoadOptions, loadConfig } from "./config-file.ts";
export { EXIT, exitCodeOf } from "./exit-codes.ts";
export { type FailedMessage, toFailedMessage } from "./failed-message.ts";
export { type ConsumeControl, type ConsumeOptions, type ConsumeResult, runConsume } from "./run-consume.ts";
export { resolveSettings, type Setting, type SettingName, type Settings } from "./settings.ts";
export { resolveWorkerOptions, type WorkerPlan } from "./worker-settings.ts";
