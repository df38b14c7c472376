import type { HrTime } from "@opentelemetry/api";

const FIRST_BYTES = 16_384;
/** Bytes of a length that is written after what it measures, filled up with leading zeros: any parser takes that. */
const LONG = 4;
const SHORT = 2;
/** Bytes that a short length can tell. */
const SHORT_MAX = 0x3fff;
/** Bytes of a character in UTF-8 at most, per unit of UTF-16. */
const WIDEST = 3;
/** Most bytes of a tag, a varint or a fixed number. */
const SCALAR = 16;
const [VARINT, FIXED64, DELIMITED, FIXED32] = [0, 1, 2, 5];

/** Writes protocol buffers in one pass. */
export class ProtobufWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;

  /** What was written. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Begins a nested message; pass the result to `end`. @param isShort - It will not be longer than 16 KiB. */
  begin(field: number, isShort = false): number {
    this.#tag(field, DELIMITED);
    const start = this.#at + (isShort ? SHORT : LONG);
    this.#at = start;
    return isShort ? -start : start;
  }

  end(begun: number): void {
    const start = Math.abs(begun);
    this.#length(start, this.#at - start, begun < 0 ? SHORT : LONG);
  }

  text(field: number, value: string): void {
    this.#room(value.length * WIDEST);
    const isShort = value.length * WIDEST <= SHORT_MAX;
    const begun = this.begin(field, isShort);
    this.#at += this.#bytes.write(value, this.#at);
    this.end(begun);
  }

  /** @param value - An id, two characters per byte. */
  hex(field: number, value: string): void {
    this.#tag(field, DELIMITED);
    this.#varint(value.length / 2);
    this.#at += this.#bytes.write(value, this.#at, "hex");
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, DELIMITED);
    this.#varint(value.length);
    this.raw(value);
  }

  /** Fields that were written elsewhere. */
  raw(fields: Uint8Array): void {
    this.#room(fields.length);
    this.#bytes.set(fields, this.#at);
    this.#at += fields.length;
  }

  /** @param value - 0 to 2³¹. */
  uint(field: number, value: number): void {
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  /** @param value - Also below zero, within what a number can tell exactly. */
  int64(field: number, value: number): void {
    this.#tag(field, VARINT);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }

  double(field: number, value: number): void {
    this.#tag(field, FIXED64);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  fixed32(field: number, value: number): void {
    this.#tag(field, FIXED32);
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  nanoseconds(field: number, [seconds, nanoseconds]: HrTime): void {
    this.#tag(field, FIXED64);
    this.#at = this.#bytes.writeBigUInt64LE(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds), this.#at);
  }

  #tag(field: number, wire: number): void {
    this.#room(SCALAR);
    this.#varint(field * 8 + wire);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#at++] = rest;
  }

  #length(end: number, value: number, width: number): void {
    let rest = value;
    for (let at = end - width; at < end - 1; at++) {
      this.#bytes[at] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[end - 1] = rest;
  }

  /** For so many bytes, and whatever single number follows. */
  #room(bytes: number): void {
    const needed = this.#at + bytes + SCALAR;
    if (needed <= this.#bytes.length) return;
    const more = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, needed));
    this.#bytes.copy(more, 0, 0, this.#at);
    this.#bytes = more;
  }
}
