import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type DispatchReceipt, type Messenger, MessengerError } from "@symphony/core";
import { BodyTooLargeError, type Listening, listen, readBody } from "./http.ts";
import { GithubDelivery } from "./messages.ts";

/** GitHub sends at most 25 MB; a message carries 1 MiB, in which the body is quoted. */
const MAX_BODY_BYTES = 400_000;

export interface ReceiverOptions {
  readonly messenger: Messenger;
  readonly runId: string;
  readonly port: number;
  /** What a browser gets; undefined: 404. */
  readonly page: (path: string) => Promise<string | undefined>;
  /** Called for each delivery that became a message, or that turned out to be one already. */
  readonly onAccepted: (receipt: DispatchReceipt) => void;
}

/**
 * Takes webhooks at `POST /webhooks/github` and makes a message of each. 202 is sent when the message is durable, so a
 * sender that got it may forget the webhook. Sent again under the same `X-GitHub-Delivery` it is the same message.
 *
 * The signature is not checked here but in the handler: answering must not wait for hashing, and what was refused for
 * its signature can be looked at afterwards.
 */
export function startReceiver(options: ReceiverOptions): Promise<Listening> {
  return listen((request, response) => {
    receive(request, options).then(
      (answer) => send(response, answer),
      (error: unknown) => send(response, answerTo(error)),
    );
  }, options.port);
}

interface Answer {
  readonly status: number;
  /** Text is Markdown, an object becomes JSON. */
  readonly body: object | string;
}

async function receive(request: IncomingMessage, { messenger, runId, page, onAccepted }: ReceiverOptions): Promise<Answer> {
  const markdown = request.method === "GET" ? await page(new URL(request.url ?? "/", "http://localhost").pathname) : undefined;
  if (markdown !== undefined) return { status: 200, body: markdown };
  if (request.url !== "/webhooks/github") return { status: 404, body: { error: "webhooks go to /webhooks/github" } };
  if (request.method !== "POST") return { status: 405, body: { error: "send webhooks with POST" } };
  const deliveryId = header(request, "x-github-delivery");
  const event = header(request, "x-github-event");
  if (deliveryId === "" || event === "") return { status: 400, body: { error: "X-GitHub-Delivery and X-GitHub-Event are needed" } };
  const bytes = await readBody(request, MAX_BODY_BYTES);
  // As text the signature of other bytes could never match again.
  if (!isUtf8(bytes)) return { status: 400, body: { error: "the body is not UTF-8" } };
  const receipt = await messenger.dispatch(
    GithubDelivery,
    { runId, deliveryId, event, signature: header(request, "x-hub-signature-256"), body: bytes.toString("utf8") },
    { idempotencyKey: deliveryId },
  );
  onAccepted(receipt);
  return { status: receipt.duplicate ? 200 : 202, body: { messageId: receipt.messageId, duplicate: receipt.duplicate } };
}

/** Temporary troubles get a 503: the sender shall come again. */
function answerTo(error: unknown): Answer {
  if (error instanceof BodyTooLargeError) return { status: 413, body: { error: error.message } };
  const code = error instanceof MessengerError ? error.code : undefined;
  switch (code) {
    case "PAYLOAD_INVALID":
    case "PAYLOAD_NOT_JSON":
    case "DISPATCH_OPTIONS_INVALID":
      return { status: 400, body: { error: (error as MessengerError).message, code } };
    case "PAYLOAD_TOO_LARGE":
      return { status: 413, body: { error: "the webhook is too large", code } };
    case "IDEMPOTENCY_CONFLICT":
      return { status: 409, body: { error: "this delivery id was used for another webhook", code } };
    case "TRANSPORT_UNAVAILABLE":
    case "MESSENGER_CLOSED":
      return { status: 503, body: { error: "try again", code } };
    default:
      return { status: 500, body: { error: "the webhook was not accepted", ...(code === undefined ? {} : { code }) } };
  }
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
}

function send(response: ServerResponse, { status, body }: Answer): void {
  // What is left of a body that was not read would be taken for the next request.
  if (!response.req.complete) response.setHeader("connection", "close");
  if (status === 503) response.setHeader("retry-after", "1");
  if (typeof body === "string") response.writeHead(status, { "content-type": "text/markdown; charset=utf-8" }).end(body);
  else response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}
