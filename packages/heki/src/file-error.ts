import { getSystemErrorMap } from 'node:util';
import { type Failure, failureOfHeki, InputError, internalFailure } from './failure.ts';

/**
 * What to tell of something that was thrown. Misuse of a package is a mistake of the program, since its caller is this command; so is
 * whatever else is not an error of the packages and none of the operating system.
 */
export function failureOf(error: unknown): Failure {
  const known = failureOfHeki(error);
  if (known !== undefined) return known;
  const reason = fileErrorText(error);
  if (reason === undefined || !(error instanceof Error)) return internalFailure(error);
  if ('syscall' in error && error.syscall === 'write') {
    return { kind: 'output', message: `the output: ${reason}`, place: {} };
  }
  const { message, place } = new InputError(reason, 'path' in error ? { file: String(error.path) } : {});
  return { kind: 'input', message, place, unread: true };
}

/** Where libuv's own words would not be understood. */
const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENOSPC: 'no space left on the device',
  ERR_INVALID_ARG_VALUE: 'not the name of a file',
};

/** A failed operation on a file in words, or `undefined` when `error` is something else. */
export function fileErrorText(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const own = FILE_ERRORS[error.code];
  if (!('syscall' in error)) return error.code.startsWith('ERR_') ? own : undefined;
  if (own !== undefined) return own;
  const [, words] = ('errno' in error && getSystemErrorMap().get(Number(error.errno))) || [];
  return words ?? error.code;
}
