/** The command was called wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The machine that was asked for cannot be: exit code 2. */
export class SpecificationError extends UsageError {
  /** The property of its specification that is wrong: `defects`, `B-H99`. */
  readonly at: readonly string[];

  constructor(message: string, at: readonly string[]) {
    super(message);
    this.at = at;
  }
}

/** What was asked for cannot be had, through no fault of the program: a file, its contents. Exit code 1. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

/** Exit codes, as for grep and its kin. */
export const ExitCode = {
  SUCCESS: 0,
  /** The work could not be done, or Heki refused. */
  FAILURE: 1,
  USAGE: 2,
} as const;

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  EMFILE: 'too many open files',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENOSPC: 'no space left on the device',
};

/** A failed system call on a file in words, or `undefined` when `error` is something else. */
export function fileErrorText(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return 'syscall' in error ? (FILE_ERRORS[error.code] ?? error.code) : undefined;
}
