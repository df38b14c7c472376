const OFF = ["accelerometer", "camera", "clipboard-read", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb"];

/** On every answer, whatever happened. A page that needs more replaces the policy by one of its own. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": OFF.map((feature) => `${feature}=()`).join(", "),
  "cache-control": "no-store",
};
