import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** QEMU's machine protocol (QEMU, docs/interop/qmp-spec.rst) over a socket. */
export interface Qmp {
  /** The command's return value. @throws with QEMU's own description when it refuses */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** What the human monitor prints for `line`, asked of CPU `cpu`. */
  monitor(line: string, cpu?: number): Promise<string>;
  /** Calls `listener` with each event from now on, and the microsecond of it. */
  onEvent(listener: (name: string, microseconds: number) => void): void;
  close(): void;
}

interface Reply {
  readonly id?: number;
  readonly event?: string;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** Connects to the socket at `path` and leaves the negotiation behind. */
export async function connectQmp(path: string): Promise<Qmp> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const waiting = new Map<number, (reply: Reply) => void>();
  const listeners: Parameters<Qmp['onEvent']>[0][] = [];
  const lines = createInterface({ input: socket });
  lines.on('line', (line) => {
    // Greeting and events have no id.
    const reply: Reply = JSON.parse(line);
    if (reply.id === undefined) {
      const { event, timestamp: { seconds, microseconds } = { seconds: 0, microseconds: 0 } } = reply;
      if (event !== undefined) for (const tell of listeners) tell(event, seconds * 1e6 + microseconds);
      return;
    }
    waiting.get(reply.id)?.(reply);
    waiting.delete(reply.id);
  });
  socket.on('close', () => {
    for (const answer of waiting.values()) answer({ error: { desc: 'QEMU closed the connection' } });
    waiting.clear();
  });
  let next = 0;
  const execute: Qmp['execute'] = async (command, parameters = {}) => {
    const id = next++;
    const reply = new Promise<Reply>((resolve) => waiting.set(id, resolve));
    socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    const { error, return: value } = await reply;
    if (error !== undefined) throw new Error(`QEMU refuses ${command}: ${error.desc}`);
    return value;
  };
  await execute('qmp_capabilities');
  return {
    execute,
    monitor: async (line, cpu = 0) =>
      String(await execute('human-monitor-command', { 'command-line': line, 'cpu-index': cpu })),
    onEvent: (listener) => listeners.push(listener),
    close: () => socket.destroy(),
  };
}
