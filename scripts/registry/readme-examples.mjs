// The examples of the READMEs of installed packages, as files beside each other, and what each prints.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FENCED = /^```(\w*)\n([\s\S]*?)^```$/gm;

/**
 * Writes every block of TypeScript of the READMEs in `folder`'s node_modules to a file of its own in `folder`.
 *
 * @param {string} folder
 * @returns {{ name: string, output: string | undefined }[]} files without `.ts`, and what the README shows of their output
 */
export function writeReadmeExamples(folder) {
  const modules = join(folder, 'node_modules');
  const names = ['heki', ...readdirSync(join(modules, '@heki')).map((name) => `@heki/${name}`)];
  return names.flatMap((name) => {
    const blocks = [...readFileSync(join(modules, name, 'README.md'), 'utf8').matchAll(FENCED)];
    return blocks.flatMap(([, language, code], index) => {
      if (language !== 'ts') return [];
      const file = `${name.replace('@heki/', '')}-${index}`;
      writeFileSync(join(folder, `${file}.ts`), code);
      const [, after, output] = blocks[index + 1] ?? [];
      return [{ name: file, output: after === 'text' ? output : undefined }];
    });
  });
}
