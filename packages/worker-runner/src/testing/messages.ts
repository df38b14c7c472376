import { defineMessage } from "@symphony/core";

/** Milliseconds for handlers that will not come back by themselves. */
export const SHORT_TIMEOUT_MS = 300;

export const Noop = defineMessage("noop");
export const Spin = defineMessage("spin", { timeoutMs: SHORT_TIMEOUT_MS });
export const SpinLater = defineMessage("spin-later", { timeoutMs: SHORT_TIMEOUT_MS });
export const Native = defineMessage("native", { timeoutMs: SHORT_TIMEOUT_MS });
export const Busy = defineMessage("busy");
export const Never = defineMessage("never", { timeoutMs: SHORT_TIMEOUT_MS });
export const Patient = defineMessage("patient", { timeoutMs: SHORT_TIMEOUT_MS });
export const Beating = defineMessage("beating", { timeoutMs: SHORT_TIMEOUT_MS });
export const Held = defineMessage("held");
export const Exit = defineMessage("exit", { retry: { delayMs: 10 } });
export const Grow = defineMessage("grow", { retry: { delayMs: 10 } });
export const GrowLater = defineMessage("grow-later");
export const ThrowLate = defineMessage("throw-late", { retry: { delayMs: 10 } });
export const RejectLate = defineMessage("reject-late");
export const AfterTheEnd = defineMessage("after-the-end");
export const OddThrow = defineMessage("odd-throw");
export const OddResult = defineMessage("odd-result");
export const Parent = defineMessage("parent");
export const Child = defineMessage("child");
export const Chatty = defineMessage("chatty");
export const Gathered = defineMessage("gathered", { timeoutMs: SHORT_TIMEOUT_MS });
export const Here = defineMessage("here");
export const There = defineMessage("there");
export const Heap = defineMessage("heap");
export const Litter = defineMessage("litter");
