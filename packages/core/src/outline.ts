import { WIRE_VERSION } from "./wire-record.ts";

/**
 * What a record says of itself without being read as a whole: enough to route the message and to count it. Only of records
 * with which nothing has happened yet: no attempt has failed, nothing is suspected, nothing unusual travels with them.
 */
export interface Outline {
  readonly type: string;
  readonly bus: string | undefined;
}

const FIRST = `{"v": ${WIRE_VERSION}, "at": `;
const PARENT = '"parent": "';
const BACKSLASH = 0x5c;

/**
 * The outline of a record of ours as it comes out of a column of type `jsonb`, which orders fields by the length of their
 * names and then by their letters; undefined: it has to be read. Up to the type, a record with an outline has text and
 * numbers only, without escapes. Costs a third of reading a small record, and keeps nothing of it.
 */
export function outlineOf(body: string): Outline | undefined {
  if (!body.startsWith(FIRST)) return undefined;
  const start = body.indexOf('"type": "', FIRST.length);
  const end = body.indexOf('"', start + 9);
  if (start < 0 || end <= start + 9) return undefined;
  const head = body.slice(FIRST.length, end);
  // Without these, what looks like a field in the head is one: a quote inside of a text would have a backslash.
  if (head.includes("\\") || head.includes("{") || head.includes("[")) return undefined;
  return isFresh(body, end + 3) ? { type: body.slice(start + 9, end), bus: busIn(head) } : undefined;
}

function busIn(head: string): string | undefined {
  const at = head.indexOf('"bus": "');
  return at < 0 ? undefined : head.slice(at + 8, head.indexOf('"', at + 8));
}

/** Of the fields behind the type, at `i`: depth, tries, parent, stamps, handled, headers, history, payload, suspect, and others' own. */
function isFresh(body: string, i: number): boolean {
  let next = body.indexOf(",", i) + 2;
  if (body.startsWith(PARENT, next)) {
    const end = body.indexOf('"', next + PARENT.length);
    if (body.charCodeAt(end - 1) === BACKSLASH) return false;
    next = end + 3;
  }
  if (!body.startsWith('"payload": ', next) && !body.startsWith('"headers": ', next)) return false;
  // Perhaps only a field of the payload.
  return !body.includes('"suspect"', next) && !body.includes('"history"', next);
}
