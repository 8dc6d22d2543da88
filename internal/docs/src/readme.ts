import { run } from 'heki';
import { type Page, textBlock } from './page.ts';

/** What a command prints where nobody looks at a terminal. */
async function printed(args: readonly string[]): Promise<string> {
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

const protect = await printed(['protect']);

/** The project's front page. */
export const readmePage: Page = {
  file: 'README.md',
  parts: { 'heki protect': () => textBlock(protect.trimEnd().split('\n')) },
};
