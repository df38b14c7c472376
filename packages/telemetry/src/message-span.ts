import {
  type Attributes,
  type AttributeValue,
  type Exception,
  type HrTime,
  type Link,
  type Span,
  type SpanContext,
  type SpanKind,
  type SpanStatus,
  SpanStatusCode,
  type TimeInput,
} from "@opentelemetry/api";
import { hrTimeToMilliseconds, type InstrumentationScope, millisToHrTime, timeInputToHrTime } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import { systemClock } from "@symphony/core";

/** As the SDK keeps them by default. */
const MAX_ENTRIES = 128;
/** Characters: what somebody puts into a value is cut. */
const MAX_TEXT = 2_048;
/** Milliseconds by which the wall clock may differ before spans are moved: both clocks are read, one after the other. */
const SAME_TIME_MS = 5;

let knownOffsetMs = Number.NaN;

/** What makes a monotonic time one of the wall clock; the same as before unless somebody has set the clock meanwhile. */
function offsetMs(): number {
  const offset = systemClock.now() - systemClock.monotonic();
  if (!(Math.abs(offset - knownOffsetMs) <= SAME_TIME_MS)) knownOffsetMs = offset;
  return knownOffsetMs;
}

interface Origin {
  readonly scope: InstrumentationScope;
  readonly resource: Resource;
  readonly processor: SpanProcessor;
}

interface Start {
  readonly name: string;
  readonly kind: SpanKind;
  readonly own: SpanContext;
  readonly parent: SpanContext | undefined;
  /** Not changed, and not to be changed meanwhile. */
  readonly attributes: Attributes;
  readonly links: readonly Link[];
  readonly start: TimeInput | undefined;
}

/** A span that is kept: what happens is noted, and put together when somebody reads it. */
export class MessageSpan implements Span, ReadableSpan {
  name: string;
  readonly kind: SpanKind;
  readonly parentSpanContext?: SpanContext;
  status: SpanStatus = { code: SpanStatusCode.UNSET };
  links: Link[];
  events: ReadableSpan["events"] = [];
  ended = false;
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly #origin: Origin;
  readonly #own: SpanContext;
  /** What it began with; frozen when others have the same. */
  given: Attributes;
  /** None of it is in `given`. */
  added: Attributes | undefined;
  #room = MAX_ENTRIES;
  /** Monotonic milliseconds. */
  readonly #startMs: number;
  #endMs = 0;
  #offsetMs = 0;

  constructor(origin: Origin, { name, kind, own, parent, attributes, links, start }: Start) {
    this.#origin = origin;
    this.name = name;
    this.kind = kind;
    this.#own = own;
    if (parent !== undefined) this.parentSpanContext = parent;
    this.given = attributes;
    this.links = links.slice(0, MAX_ENTRIES);
    this.#startMs = toMs(start);
  }

  get resource(): Resource {
    return this.#origin.resource;
  }
  get instrumentationScope(): InstrumentationScope {
    return this.#origin.scope;
  }
  get attributes(): Attributes {
    return this.added === undefined ? this.given : { ...this.given, ...this.added };
  }
  get startTime(): HrTime {
    return millisToHrTime(this.#startMs + this.#offsetMs);
  }
  get endTime(): HrTime {
    return millisToHrTime(this.#endMs + this.#offsetMs);
  }
  get duration(): HrTime {
    return millisToHrTime(this.#endMs - this.#startMs);
  }

  spanContext(): SpanContext {
    return this.#own;
  }
  isRecording(): boolean {
    return !this.ended;
  }

  setAttribute(name: string, value: AttributeValue | undefined): this {
    if (this.ended || value === undefined || this.#room === 0) return this;
    if (name in this.given) this.given = Object.fromEntries(Object.entries(this.given).filter(([each]) => each !== name));
    this.added ??= {};
    if (!(name in this.added)) this.#room -= 1;
    this.added[name] = typeof value === "string" && value.length > MAX_TEXT ? value.slice(0, MAX_TEXT) : value;
    return this;
  }
  setAttributes(attributes: Attributes): this {
    for (const [name, value] of Object.entries(attributes)) this.setAttribute(name, value);
    return this;
  }
  addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    if (this.ended || this.events.length === MAX_ENTRIES) return this;
    const isTime = typeof attributesOrTime === "number" || attributesOrTime instanceof Date || Array.isArray(attributesOrTime);
    const at = isTime ? attributesOrTime : time;
    const attributes = isTime ? {} : ((attributesOrTime ?? {}) as Attributes);
    this.events.push({
      name,
      attributes,
      time: at === undefined ? millisToHrTime(systemClock.monotonic() + offsetMs()) : timeInputToHrTime(at),
    });
    return this;
  }
  addLink(link: Link): this {
    if (!this.ended && this.links.length < MAX_ENTRIES) this.links.push(link);
    return this;
  }
  addLinks(links: Link[]): this {
    for (const link of links) this.addLink(link);
    return this;
  }
  setStatus(status: SpanStatus): this {
    if (!this.ended && status.code !== SpanStatusCode.UNSET && this.status.code !== SpanStatusCode.OK) this.status = status;
    return this;
  }
  updateName(name: string): this {
    if (!this.ended) this.name = name;
    return this;
  }
  /** Its class: what an error says does not leave the process. */
  recordException(exception: Exception, time?: TimeInput): void {
    const type = typeof exception === "string" ? "Error" : (exception.code ?? exception.name ?? "Error").toString();
    this.addEvent("exception", { "exception.type": type }, time);
  }

  end(time?: TimeInput): void {
    if (this.ended) return;
    this.ended = true;
    this.#endMs = Math.max(this.#startMs, toMs(time));
    this.#offsetMs = offsetMs();
    this.#origin.processor.onEnd(this);
  }
}

/** Monotonic. A number is one of the library's own clock, which is that. */
function toMs(time: TimeInput | undefined): number {
  if (time === undefined) return systemClock.monotonic();
  return typeof time === "number" ? time : hrTimeToMilliseconds(timeInputToHrTime(time)) - offsetMs();
}
