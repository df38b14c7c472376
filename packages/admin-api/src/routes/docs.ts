import { z } from "zod";
import { DOCS_POLICY, docsPage } from "../docs-page.ts";
import { toOpenApi } from "../openapi.ts";
import { type AnyEndpoint, endpoint } from "./endpoint.ts";
import type { RouteName } from "./table.ts";

/** @param all - Every endpoint, these two included, as soon as they are asked for. */
export function docsEndpoints(all: () => Readonly<Record<RouteName, AnyEndpoint>>, publicDocs: boolean) {
  // As bytes: it is large, and those who read it slowly share it.
  let document: Buffer | undefined;
  let page: Buffer | undefined;
  return {
    openapi: endpoint({
      summary: "The OpenAPI 3.1 document of this API",
      answers: { 200: z.looseObject({ openapi: z.literal("3.1.0") }) },
      handle() {
        document ??= Buffer.from(JSON.stringify(toOpenApi(all(), publicDocs)));
        return { status: 200, body: document, type: "application/json; charset=utf-8" };
      },
    }),
    docs: endpoint({
      summary: "This API as a page to read",
      answers: { 200: z.string().meta({ mediaType: "text/html" }) },
      handle() {
        page ??= Buffer.from(docsPage(toOpenApi(all(), publicDocs) as never));
        return { status: 200, body: page, type: "text/html; charset=utf-8", headers: { "content-security-policy": DOCS_POLICY } };
      },
    }),
  };
}
