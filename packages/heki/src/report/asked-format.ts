/** Whether `args` ask for JSON: then an error is JSON, too, even of a command line that is not understood. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  const options = end === -1 ? args : args.slice(0, end);
  return options.some(
    (option, index) =>
      option === '--json' ||
      option === '--format=json' ||
      (option === 'json' && options[index - 1] === '--format'),
  );
}

/** Whether `args` want the bytes of a core on standard output: what is to be told then goes to standard error. */
export function outputIsTaken(args: readonly string[]): boolean {
  return args.some(
    (option, index) =>
      ['-o-', '--output=-'].includes(option) ||
      (option === '-' && ['-o', '--output'].includes(args[index - 1] ?? '')),
  );
}
