import { readFileSync } from 'node:fs';

/**
 * What the README beside the folder of `url` shows as output: its last block fenced as `text`.
 *
 * @param {string} url the `import.meta.url` of a test in `src`
 */
export function readmeOutput(url) {
  const readme = readFileSync(new URL('../README.md', url), 'utf8');
  const block = [...readme.matchAll(/^```text\n([\s\S]*?)^```$/gm)].at(-1)?.[1];
  if (block === undefined) throw new Error('the README shows no output: expected a block fenced as text');
  return block;
}

/**
 * What `program` prints with console.log.
 *
 * @param {() => Promise<unknown>} program
 */
export async function outputOf(program) {
  const { log } = console;
  let output = '';
  console.log = (...values) => {
    output += `${values.join(' ')}\n`;
  };
  try {
    await program();
  } finally {
    console.log = log;
  }
  return output;
}
