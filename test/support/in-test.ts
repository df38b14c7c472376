import type { TestContext } from "node:test";
import { type PrivateServer, type PrivateServerOptions, startPrivateServer } from "./private-server.ts";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";
import { TestBed, type TestBedOptions } from "./test-bed.ts";

const stacks = new WeakMap<TestContext, AsyncDisposableStack>();

/** Cleans up in reverse order: node:test runs hooks in the order of their registration, and would stop the server first. */
function cleanUp(t: TestContext, release: () => Promise<void>): void {
  let stack = stacks.get(t);
  if (stack === undefined) {
    const made = new AsyncDisposableStack();
    stack = made;
    stacks.set(t, made);
    t.after(() => made.disposeAsync());
  }
  stack.defer(release);
}

/** A test bed that ends with the test; its database and journal are kept, and named, when the test has failed. */
export async function testBed(t: TestContext, options: TestBedOptions = {}): Promise<TestBed> {
  const bed = await TestBed.open(options);
  cleanUp(t, async () => {
    // In Node since 21.7, and not yet in its type definitions.
    const keep = !(t as TestContext & { readonly passed: boolean }).passed;
    if (keep) t.diagnostic(`kept: database ${bed.database.name}, journal ${bed.journal.path}`);
    await bed.close({ keep });
  });
  return bed;
}

export async function privateServer(t: TestContext, options: PrivateServerOptions = {}): Promise<PrivateServer> {
  const server = await startPrivateServer(options);
  cleanUp(t, () => server.close());
  return server;
}

/** A faulty network in front of the server. */
export async function proxyTo(t: TestContext, server: { readonly port: number }): Promise<TcpProxy> {
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: server.port });
  cleanUp(t, () => proxy.close());
  return proxy;
}
