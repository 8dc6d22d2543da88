/** Misuse of the kernel model by the TypeScript caller: an impossible profile, a step out of order, a bad address. */
export class LinuxError extends Error {
  override readonly name = 'LinuxError';
}
