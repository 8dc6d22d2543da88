import { fileURLToPath } from 'node:url';
import type { Environment } from '../io.ts';
import { run } from '../run.ts';

/** What a command printed, and its exit code. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `stdout` is the text of. */
  readonly bytes: Uint8Array;
}

/** Runs the command line in this process. */
export async function runCommand(
  args: readonly string[],
  options: {
    readonly env?: Environment;
    /** Whether the outputs are terminals; a number of columns, or 100 of them. */
    readonly terminal?: boolean | number;
    /** Ctrl-C. */
    readonly interrupt?: AbortSignal;
  } = {},
): Promise<CommandResult> {
  const { env = {}, terminal = false, interrupt } = options;
  const isTerminal = terminal !== false;
  const columns = typeof terminal === 'number' ? terminal : 100;
  const written: { readonly stdout: Buffer[]; readonly stderr: Buffer[] } = { stdout: [], stderr: [] };
  const output = (name: keyof typeof written) => ({
    write: (data: string | Uint8Array) => {
      written[name].push(Buffer.from(data));
      return Promise.resolve();
    },
    isTerminal,
    columns: isTerminal ? columns : undefined,
  });
  const exitCode = await run(args, {
    stdout: output('stdout'),
    stderr: output('stderr'),
    env: { LANG: 'C.UTF-8', ...env },
    ...(interrupt !== undefined && { interrupt: () => interrupt }),
  });
  const stdout = Buffer.concat(written.stdout);
  return { exitCode, stdout: String(stdout), stderr: String(Buffer.concat(written.stderr)), bytes: stdout };
}

const RAN = new Map<string, Promise<CommandResult>>();

/**
 * What a command prints that reads nothing but files of the project: it is run once, however many tests look at that, in whatever files
 * they stand.
 */
export function ranOnce(...args: readonly string[]): Promise<CommandResult> {
  const key = JSON.stringify(args);
  const result = RAN.get(key) ?? runCommand(args);
  RAN.set(key, result);
  return result;
}

/** The path of a file in the project's `fixtures` or `vectors`. */
export function projectFile(path: string): string {
  return fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
}

/** Names of the real kernels in `fixtures`. */
export const FIXTURES = [
  'k61-256-kaslr',
  'k61-256-la57-kaslr',
  'k61-256-nokaslr',
  'k61-256-nokaslr-pti',
  'k61-256-rodataoff',
  'k61-256-tampered-text-alias',
  'k61-2g-allmods',
  'k61-4g-nokaslr',
  'stage61-mark_rodata_ro',
  'stage61-rest_init',
  'stage61-run_init_process',
] as const;

export type Fixture = (typeof FIXTURES)[number];

/** Of every kind one, with 4 levels and 5, KASLR and page-table isolation: `fixtures.long.test.ts` has all of them. */
export const FIXTURES_OF_EACH_KIND: readonly Fixture[] = [
  'k61-256-la57-kaslr',
  'k61-256-nokaslr',
  'k61-256-nokaslr-pti',
  'k61-256-rodataoff',
  'k61-256-tampered-text-alias',
  'stage61-rest_init',
];

/** The path of a fixture's dump. */
export function fixturePath(name: Fixture): string {
  return projectFile(`fixtures/${name}.elf.gz`);
}
