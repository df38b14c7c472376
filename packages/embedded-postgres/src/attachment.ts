import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type Answer, type HostRecord, parseAnswer, readHostRecord, receiveOne, send } from "./protocol.ts";

/** A client's open connection to the host, and what the host said about PostgreSQL. */
export interface Attachment {
  readonly socket: Socket;
  readonly answer: Answer;
  readonly closed: Promise<void>;
}

export interface AttachOptions {
  readonly lingerMs: number;
  /** Milliseconds to wait for the answer, which comes when PostgreSQL has started. */
  readonly withinMs: number;
  /** Whether the process may end in the meantime. */
  readonly background: boolean;
}

/** Attaches to the host that `record` names. Undefined if there is none any more, or it does not answer in time. */
export async function attach(record: HostRecord, options: AttachOptions): Promise<Attachment | undefined> {
  const socket = await open(record);
  if (socket === undefined) return undefined;
  if (options.background) socket.unref();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const { promise: answered, resolve: give } = Promise.withResolvers<Answer | undefined>();
  socket.on("close", () => {
    give(undefined);
    close();
  });
  socket.setTimeout(options.withinMs, () => give(undefined));
  receiveOne(socket, (message) => give(parseAnswer(message)));
  send(socket, { token: record.token, lingerMs: options.lingerMs });
  const answer = await answered;
  socket.setTimeout(0);
  if (answer !== undefined) return { socket, answer, closed };
  socket.destroy();
  return undefined;
}

/** Whether a host listens where the file `path` says. */
export async function canAttach(path: string): Promise<boolean> {
  const record = readHostRecord(path);
  const socket = record === undefined ? undefined : await open(record);
  socket?.destroy();
  return socket !== undefined;
}

async function open(record: HostRecord): Promise<Socket | undefined> {
  const socket = connect({ host: "127.0.0.1", port: record.port });
  try {
    await once(socket, "connect");
    // An error from now on is followed by "close", which is what users of the socket listen to.
    socket.on("error", () => undefined);
    return socket;
  } catch {
    // Nobody listens: the record was left by a host that was killed.
    return undefined;
  }
}
