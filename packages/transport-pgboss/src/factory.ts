// What a configuration's DSN loads: the package without pg-boss's adapters, which would load all of pg-boss.
export { transportFactory } from "./transport.ts";
