import { WIRE_VERSION, type WireRecord } from "./wire-record.ts";

/** What stands for itself in JSON text. */
const CHARACTER = String.raw`[^"\\\x00-\x1f]`;
const TEXT = `"${CHARACTER}+"`;
/** Safe integers alone. */
const COUNT = "(?:0|[1-9][0-9]{0,14})";

/** A record up to its payload, with the version of the type, the bus and the type. */
const HEAD = new RegExp(
  `\\{"v": ${WIRE_VERSION}, "at": ${COUNT}, "id": ${TEXT}, "tv": (${COUNT}), (?:"bus": "(${CHARACTER}*)", )?"root": ${TEXT}, ` +
    `"type": "(${CHARACTER}+)", "depth": ${COUNT}, (?:"parent": "${CHARACTER}*", )?"payload": `,
  "y",
);

/**
 * What was matched is a part of the text to V8, which would be kept as long as the name of its type, and a text may be one of
 * a thousand that came as one. Mostly they are all of one type.
 */
const copied = (text: string): string => JSON.parse(`"${text}"`) as string;
let lastType = "";
let lastBus: string | undefined;

type Head = Pick<WireRecord, "id" | "root" | "parent" | "depth" | "at">;

/** What every attempt asks for is read at once, the rest of the head when somebody wants to know it. */
class UsualRecord implements WireRecord {
  readonly v = WIRE_VERSION;
  readonly type: string;
  readonly tv: number;
  readonly bus: string | undefined;
  readonly payload: unknown;
  /** Up to the payload. */
  readonly #text: string;
  #head: Head | undefined;

  constructor(text: string, [, tv, bus, type]: RegExpExecArray, payload: unknown) {
    if (type !== lastType) lastType = copied(type as string);
    if (bus !== lastBus) lastBus = bus === undefined ? undefined : copied(bus);
    this.type = lastType;
    this.tv = Number(tv);
    this.bus = lastBus;
    this.payload = payload;
    this.#text = text;
  }

  get id(): string {
    return this.#read().id;
  }

  get root(): string {
    return this.#read().root;
  }

  get parent(): string | undefined {
    return this.#read().parent;
  }

  get depth(): number {
    return this.#read().depth;
  }

  get at(): number {
    return this.#read().at;
  }

  #read(): Head {
    this.#head ??= JSON.parse(`${this.#text}0}`) as Head;
    return this.#head;
  }
}

/**
 * Most records, as a column of type `jsonb` gives them back: of messages with which nothing has happened yet, and with
 * nothing unusual. It takes half of the time of `JSON.parse` and a check of every field, and says the same. Undefined: it is
 * another one, or none at all.
 */
export function usualRecord(body: string): WireRecord | undefined {
  HEAD.lastIndex = 0;
  const found = HEAD.exec(body);
  if (found === null || !body.endsWith("}")) return undefined;
  const { lastIndex } = HEAD;
  try {
    // With a field behind it, the payload is not JSON.
    return new UsualRecord(body.slice(0, lastIndex), found, JSON.parse(body.slice(lastIndex, -1)));
  } catch {
    return undefined;
  }
}
