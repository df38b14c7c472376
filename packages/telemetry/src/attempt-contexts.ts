import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, ROOT_CONTEXT } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { unsampledHere } from "@symphony/core";

/**
 * Finds the context of an attempt that is not kept by the attempt itself, so that such attempts, which are most, need not
 * enter one: that would cost each of them as much as the rest of its way through the worker's loop.
 */
export class AttemptContexts extends AsyncLocalStorageContextManager {
  readonly #entered = new AsyncLocalStorage<Context>();

  /** Nobody has entered a context here. */
  isOutside(): boolean {
    return this.#entered.getStore() === undefined;
  }

  override active(): Context {
    return this.#entered.getStore() ?? unsampledHere() ?? ROOT_CONTEXT;
  }

  override with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    within: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#entered.run(within, thisArg === undefined ? run : run.bind(thisArg), ...args);
  }

  override attach(within: Context): { dispose(): void } {
    const before = this.#entered.getStore();
    this.#entered.enterWith(within);
    return { dispose: () => this.#entered.enterWith(before as Context) };
  }

  override disable(): this {
    this.#entered.disable();
    return this;
  }
}
