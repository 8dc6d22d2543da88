import { run } from 'heki';

/** What a command prints where nobody looks at a terminal. @throws {Error} when it does not succeed */
export async function printed(args: readonly string[]): Promise<string> {
  let text = '';
  const output = {
    isTerminal: false,
    columns: undefined,
    write(more: string) {
      text += more;
      return Promise.resolve();
    },
  };
  const exitCode = await run(args, { stdout: output, stderr: output, env: {} });
  if (exitCode !== 0) throw new Error(`heki ${args.join(' ')} ended with ${exitCode}: ${text}`);
  return text;
}
