import type { IncomingMessage } from "node:http";
import { HttpProblem, invalid } from "./problem.ts";
import { type JsonLimits, parseStrictJson } from "./strict-json.ts";

export interface BodyLimits extends JsonLimits {
  readonly maxBytes: number;
}

/** For what steers: nothing honest comes near. */
export const CONTROL_BODY: BodyLimits = { maxBytes: 65_536, maxDepth: 64, maxKeys: 1_000 };

/** For messages: the payload may be as large and as deep as the library allows, which says so itself when it is deeper. */
export const MESSAGE_BODY: BodyLimits = { maxBytes: 1_048_576, maxDepth: 80, maxKeys: 50_000, dataAt: "message.payload" };

const tooLarge = (maxBytes: number): HttpProblem =>
  // What was not read would be taken for the next request.
  new HttpProblem(413, "BODY_TOO_LARGE", `the body has more than ${maxBytes} bytes`, { headers: { connection: "close" } });

export function hasBody({ headers }: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": encoding } = headers;
  return encoding !== undefined || (length !== undefined && length !== "0");
}

/**
 * The JSON of a request; undefined when it has no body.
 *
 * @throws {HttpProblem} 400, 413, 415.
 */
export async function readJson(request: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  const { "content-length": length } = request.headers;
  if (!hasBody(request)) return undefined;
  assertJsonType(request);
  if (length !== undefined && Number(length) > limits.maxBytes) throw tooLarge(limits.maxBytes);
  const bytes = await collect(request, limits.maxBytes);
  return bytes.length === 0 ? undefined : parseStrictJson(decode(bytes), limits);
}

function assertJsonType(request: IncomingMessage): void {
  const { "content-type": type = "", "content-encoding": compression = "identity" } = request.headers;
  const [, media = "", parameters = ""] = /^\s*([^;\s]+)\s*((?:;.*)?)$/.exec(type.toLowerCase()) ?? [];
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/.exec(parameters)?.[1] ?? "utf-8";
  const isJson = /^application\/(?:[a-z0-9!#$&^_.-]+\+)?json$/.test(media) && (charset === "utf-8" || charset === "utf8");
  if (!isJson) throw new HttpProblem(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json in UTF-8");
  // A few bytes can unfold to any size.
  if (compression.toLowerCase() !== "identity")
    throw new HttpProblem(415, "UNSUPPORTED_MEDIA_TYPE", "the body must not be compressed", { headers: { "accept-encoding": "identity" } });
}

/** By events: leaving a `for await` would destroy the connection before it got its answer. */
function collect(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else reject(tooLarge(maxBytes));
    });
    request.once("end", () => resolve(Buffer.concat(chunks)));
    const gone = (): void =>
      reject(new HttpProblem(400, "VALIDATION_FAILED", "the body ended early", { headers: { connection: "close" } }));
    request.once("error", gone);
    request.once("close", gone);
  });
}

function decode(bytes: Buffer): string {
  try {
    // A byte order mark is left in, for the parser to refuse: RFC 8259, section 8.1.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const what = "is not valid UTF-8";
    throw Object.assign(invalid([{ path: "", message: what }], `the body ${what}`), { cause });
  }
}
