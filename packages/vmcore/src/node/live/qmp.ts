import { VmcoreError } from '../../error.ts';
import { answerDeadline, connectSync } from './sync-socket.ts';

/** QEMU's machine protocol (QEMU, docs/interop/qmp-spec.rst), one command after the other. */
export interface Qmp {
  /** The command's return value. @throws {VmcoreError} with QEMU's own description when it refuses */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>): unknown;
  /** The same with each of `parameters`, all sent before the first answer: on a busy machine an answer takes longer to come than to make. */
  executeAll(command: string, parameters: readonly Readonly<Record<string, unknown>>[]): unknown[];
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
    return answerTo(command, send(command, parameters));
  }

  function send(command: string, parameters: Readonly<Record<string, unknown>>): number {
    const id = next++;
    socket.send(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    return id;
  }

  function answerTo(command: string, id: number): unknown {
    const deadline = answerDeadline();
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
    executeAll: (command, parameters) =>
      parameters.map((each) => send(command, each)).map((id) => answerTo(command, id)),
    monitor: (line) => String(execute('human-monitor-command', { 'command-line': line })),
    close: () => socket.close(),
  };
}
