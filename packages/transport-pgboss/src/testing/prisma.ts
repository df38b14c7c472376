import { PrismaPg } from "@prisma/adapter-pg";
import { getPrismaClient } from "@prisma/client/runtime/client";
import type { fromPrisma } from "pg-boss";

/** As far as the tests use it. */
interface Prisma {
  $transaction(work: (tx: Parameters<typeof fromPrisma>[0]) => Promise<void>): Promise<void>;
  $disconnect(): Promise<void>;
}

// Neither has types.
const COMPILER = "@prisma/client/runtime/query_compiler_small_bg.postgresql";
declare const WebAssembly: { readonly Module: new (bytes: Uint8Array) => object };

/**
 * What `prisma generate` makes of a schema without models: the real client, on the driver adapter for `pg`. Generating it
 * would fetch an engine, which such a client does not use.
 */
const CONFIG = {
  previewFeatures: [],
  clientVersion: "7.10.0",
  engineVersion: "",
  activeProvider: "postgresql",
  inlineSchema: 'datasource db {\n  provider = "postgresql"\n}\n',
  runtimeDataModel: { models: {}, enums: {}, types: {} },
  parameterizationSchema: { strings: [], graph: "AAAA" },
  compilerWasm: {
    getRuntime: () => import(`${COMPILER}.mjs`),
    getQueryCompilerWasmModule: async () => {
      const { wasm } = (await import(`${COMPILER}.wasm-base64.mjs`)) as { wasm: string };
      return new WebAssembly.Module(Buffer.from(wasm, "base64"));
    },
    importName: "./query_compiler_small_bg.js",
  },
} as const;

const Client = getPrismaClient(CONFIG as unknown as Parameters<typeof getPrismaClient>[0]);

export const openPrisma = (connectionString: string): Prisma =>
  new Client({ adapter: new PrismaPg({ connectionString }) }) as unknown as Prisma;
