import type { Writable } from 'node:stream';

/** A stream that the command writes to: text, or the bytes of a file. */
export interface Output {
  /** Resolves when more may be written without piling it up in memory. */
  write(data: string | Uint8Array): Promise<void>;
  /** Whether a person is looking: colours and progress bars are for them only. */
  readonly isTerminal: boolean;
  /** Width in columns, where it is a terminal. */
  readonly columns: number | undefined;
}

/** The variables of the environment that the command looks at. */
export interface Environment {
  readonly NO_COLOR?: string | undefined;
  readonly FORCE_COLOR?: string | undefined;
  readonly TERM?: string | undefined;
  /** Columns of a line, where the output does not tell. */
  readonly COLUMNS?: string | undefined;
  /** The locale: the first of these that is set. */
  readonly LC_ALL?: string | undefined;
  readonly LC_CTYPE?: string | undefined;
  readonly LANG?: string | undefined;
  /** `Windows_NT` there. */
  readonly OS?: string | undefined;
  /** Anything: print the stack of an error. */
  readonly HEKI_DEBUG?: string | undefined;
  /** OpenTelemetry's: where traces go, and whether none do. */
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  readonly OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?: string | undefined;
  readonly OTEL_SDK_DISABLED?: string | undefined;
}

/** Everything that the command takes from, and gives to, the process around it. */
export interface CommandIo {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Environment;
  /** Is aborted by Ctrl-C from now on; a command that does not ask for it ends at once. Absent where it cannot be interrupted. */
  readonly interrupt?: (() => AbortSignal) | undefined;
  /** The code of a thread that does a part of the work (`runAsThread`). Absent where all is done in one. */
  readonly threadEntry?: URL | undefined;
}

/** The reader of standard output has gone (`| head`): not an error, only the end of the work. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}

/** What {@link processOutput} needs of the process's own streams. */
type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Codes by which the runtime says that the reader is gone. */
const CLOSED: ReadonlySet<string> = new Set(['EPIPE', 'ERR_STREAM_DESTROYED']);

/** One of the process's own streams as an {@link Output}. */
export function processOutput(stream: OutputStream): Output {
  let closed = false;
  // EPIPE arrives as an event after the write that met it.
  stream.on('error', () => {
    closed = true;
  });
  return {
    write: (data) =>
      new Promise((resolve, reject) => {
        if (closed) {
          reject(new OutputClosed());
          return;
        }
        stream.write(data, (error) => {
          if (!error) resolve();
          else reject('code' in error && CLOSED.has(String(error.code)) ? new OutputClosed() : error);
        });
      }),
    isTerminal: stream.isTTY === true,
    columns: stream.columns,
  };
}

const CHUNK_CHARACTERS = 1 << 16;

/** Gathers lines into chunks, so that a million of them are not a million writes. */
export interface LineWriter {
  /** Adds `line` and its newline. The promise, where there is one, must be awaited before the next call. */
  line(line: string): Promise<void> | undefined;
  /** Writes what is gathered. */
  flush(): Promise<void>;
}

/** A {@link LineWriter} over `output`. */
export function createLineWriter(output: Output): LineWriter {
  let gathered = '';
  const flush = (): Promise<void> => {
    const text = gathered;
    gathered = '';
    return text === '' ? Promise.resolve() : output.write(text);
  };
  return {
    line(line) {
      // A name with a newline in it must not look like a line of its own.
      gathered += line.includes('\n') ? `${line.replaceAll('\n', '\\n')}\n` : `${line}\n`;
      return gathered.length >= CHUNK_CHARACTERS ? flush() : undefined;
    },
    flush,
  };
}
