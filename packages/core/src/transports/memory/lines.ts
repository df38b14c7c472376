import type { StoredMessage } from "./stored-message.ts";

/** Messages of one partition key stand in a line, in the order in which they came; only the first of each can be received. */
export class Lines {
  readonly #lines = new Map<string, StoredMessage[]>();
  #behind = 0;

  /** How many stand behind another one. */
  get behind(): number {
    return this.#behind;
  }

  /** Puts it at the end, unless it has its place already; whether it is the first. */
  join(message: StoredMessage): boolean {
    if (message.partition === undefined) return true;
    const line = this.#lines.get(message.partition) ?? [];
    this.#lines.set(message.partition, line);
    if (!line.includes(message)) {
      line.push(message);
      if (line.length > 1) this.#behind += 1;
    }
    return line[0] === message;
  }

  /** Takes it out; the one whose turn has come by that. */
  leave(message: StoredMessage): StoredMessage | undefined {
    const line = message.partition === undefined ? undefined : this.#lines.get(message.partition);
    const at = line?.indexOf(message) ?? -1;
    if (line === undefined || at < 0) return undefined;
    line.splice(at, 1);
    if (line.length === 0) this.#lines.delete(message.partition as string);
    else this.#behind -= 1;
    return at === 0 ? line[0] : undefined;
  }

  /** Those behind another one, the last first: in this order they can leave without anybody's turn coming. */
  waiting(): StoredMessage[] {
    if (this.#behind === 0) return [];
    return [...this.#lines.values()].flatMap((line) => line.slice(1).reverse());
  }
}
