import { VmcoreError } from '../../error.ts';
import { answerDeadline, connectSync } from './sync-socket.ts';

/** QEMU's machine protocol (QEMU, docs/interop/qmp-spec.rst), one command after the other. */
export interface Qmp {
  /** The command's return value. @throws {VmcoreError} with QEMU's own description when it refuses */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>): unknown;
  /** What the human monitor prints for `line`. */
  monitor(line: string): string;
  close(): void;
}

interface Reply {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
}

/** More than QEMU says to any command here. */
const MOST_TEXT = 2 ** 24;

/** Connects to QEMU's socket at `path` and leaves the negotiation behind. @throws {VmcoreError} when it is not QEMU's */
export function connectQmp(path: string): Qmp {
  const socket = connectSync({ path });
  let text = '';
  let next = 1;

  function line(deadline: number): string {
    for (;;) {
      const end = text.indexOf('\n');
      if (end >= 0) {
        const first = text.slice(0, end);
        text = text.slice(end + 1);
        return first;
      }
      if (text.length > MOST_TEXT) throw new VmcoreError(`${path}: this is not QMP: a line without an end`);
      text += socket.receive(deadline);
    }
  }

  function execute(command: string, parameters: Readonly<Record<string, unknown>> = {}): unknown {
    const id = next++;
    const deadline = answerDeadline();
    socket.send(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    for (;;) {
      const reply = replyOf(line(deadline));
      // Greeting and events have no id.
      if (reply.id !== id) continue;
      if (reply.error !== undefined) throw new VmcoreError(`QEMU refuses ${command}: ${reply.error.desc}`);
      return reply.return;
    }
  }

  function replyOf(json: string): Reply {
    try {
      return Object(JSON.parse(json));
    } catch (cause) {
      throw new VmcoreError(`${path}: this is not QMP: ${JSON.stringify(json.slice(0, 60))}`, { cause });
    }
  }

  try {
    execute('qmp_capabilities');
  } catch (error) {
    socket.close();
    throw error;
  }
  return {
    execute,
    monitor: (command) => String(execute('human-monitor-command', { 'command-line': command })),
    close: () => socket.close(),
  };
}
