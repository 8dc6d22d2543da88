import { run } from 'heki';

/** What a command prints where it is not at a terminal. @throws {Error} when it does not succeed */
export async function printed(args: readonly string[]): Promise<string> {
  const { text, exitCode } = await runCommand(args);
  if (exitCode !== 0) throw new Error(`heki ${args.join(' ')} ended with ${exitCode}: ${text}`);
  return text;
}

/** The same with colours. */
export async function printedInColour(args: readonly string[]): Promise<string> {
  const { text, exitCode } = await runCommand(args, { FORCE_COLOR: '1' });
  if (exitCode !== 0) throw new Error(`heki ${args.join(' ')} ended with ${exitCode}: ${text}`);
  return text;
}

/** The same for a command whose work is to find something, which it says by its exit code. @throws {Error} when it was called wrongly */
export async function printedWithFindings(args: readonly string[]): Promise<string> {
  const { text, exitCode } = await runCommand(args);
  if (exitCode > 1) throw new Error(`heki ${args.join(' ')} ended with ${exitCode}: ${text}`);
  return text;
}

async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly text: string; readonly exitCode: number }> {
  let text = '';
  const output = {
    isTerminal: false,
    columns: undefined,
    write(more: string) {
      text += more;
      return Promise.resolve();
    },
  };
  const exitCode = await run(args, { stdout: output, stderr: output, env });
  return { text, exitCode };
}
