import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from './once.ts';
import { type Page, textBlock } from './page.ts';
import { printed, printedWithFindings } from './printed.ts';

/** Booted with `rodata=off`, and as Debian has it. */
const BEFORE = 'fixtures/k61-256-rodataoff.elf.gz';
const AFTER = 'fixtures/k61-256-nokaslr.elf.gz';

const protectBefore = once(() => printed(['protect', BEFORE]));
const protectAfter = once(() => printed(['protect', AFTER]));

/** The lines from the first that `from` is in up to that before the first that `to` is in. @throws {Error} when there is none */
function cut(text: string, from: RegExp, to?: RegExp): string[] {
  const lines = text.trimEnd().split('\n');
  const start = lines.findIndex((line) => from.test(line));
  const end = to === undefined ? lines.length : lines.findIndex((line, at) => at > start && to.test(line));
  if (start < 0 || end < 0) throw new Error(`no lines from ${from} to ${to}`);
  return lines.slice(start, end).join('\n').trimEnd().split('\n');
}

/** What `protect` says of the attacks. */
const attacks = (text: string): string => textBlock(cut(text, /^4 /));

/** What `rfc-v2` says first of a kernel with these options. */
async function refused(option: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'heki-docs-'));
  try {
    const file = join(folder, 'config');
    writeFileSync(file, `${option}=y\n`);
    const args = ['protect', AFTER, '--profile', 'rfc-v2', '--kernel-config', file];
    const text = await printedWithFindings(args);
    return [
      ...cut(text, /^ {2}configured/, /^$/),
      ...cut(text, /^1 /, /^$/),
      ...cut(text, /^ {2}FAILS/, /^ {2}The/),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a platform engineer does about a guest, from its dump to the next. */
export const protectYourGuestPage: Page = {
  file: 'docs/protect-your-guest.md',
  parts: {
    before: async () => textBlock(cut(await protectBefore(), /^Heki:/, /^4 /)),
    'verdicts-before': async () => attacks(await protectBefore()),
    'audit-before': async () =>
      textBlock(cut(await printedWithFindings(['audit', BEFORE, '--no-heki']), /^FAILS/, /^$/)),
    config: async () =>
      textBlock([...(await refused('CONFIG_JUMP_LABEL')), '', ...(await refused('CONFIG_RANDOMIZE_BASE'))]),
    work: async () => textBlock(cut(await printedWithFindings(['audit', AFTER]), /^Under Heki/, /^ {4}open/)),
    diff: async () =>
      textBlock(cut(await printedWithFindings(['diff', BEFORE, AFTER]), /^findings that/, /^the image/)),
    after: async () => {
      const text = await protectAfter();
      return textBlock([...cut(text, /^3 /, /^4 /), '', ...cut(text, /^ {2}Heki stops/)]);
    },
  },
};
