/**
 * What the processes of the example have to agree on. Real secrets come from the environment; the defaults are for a
 * demonstration whose two ends both run on this machine.
 */
export const WEBHOOK_SECRET = process.env.WEBHOOKS_SECRET ?? "the secret that GitHub and the receiver share";
export const SUBSCRIBER_SECRET = process.env.WEBHOOKS_SUBSCRIBER_SECRET ?? "the secret that we and our subscribers share";

/** Where the subscribers listen; `npm start` starts them and tells the worker. */
export function subscriberUrl(): string {
  const url = process.env.WEBHOOKS_SUBSCRIBER_URL;
  if (url === undefined) throw new Error("WEBHOOKS_SUBSCRIBER_URL is not set: npm start starts the subscribers and sets it");
  return url;
}
