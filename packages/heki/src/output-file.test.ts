import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { writeFiles } from './output-file.ts';
import { fixturePath, runCommand } from './testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-output-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file, and tells when it has written some of it. */
const WRITER = `
  const { writeFiles } = await import(${JSON.stringify(new URL('../dist/output-file.js', import.meta.url).href)});
  async function* chunks() {
    yield Buffer.from('some');
    console.log('half');
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  }
  await writeFiles([{ path: process.argv[1], chunks: chunks() }], false);
`;

test.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s in the middle of writing leaves nothing, and ends the command as it does others',
  async (signal) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, join(folder, 'out')]);
    await once(child.stdout, 'data');
    expect(readdirSync(folder)).toHaveLength(1);
    const ended = once(child, 'close');
    child.kill(signal);
    expect(await ended).toEqual([null, signal]);
    expect(readdirSync(folder)).toEqual([]);
  },
);

test('of two outputs of one name neither is written', async () => {
  const path = join(folder, 'twice');
  const file = { path, chunks: [Buffer.from('text')] };
  await expect(writeFiles([file, file], true)).rejects.toThrow(`${path}: two outputs have this name`);
  await expect(writeFiles([file, { ...file, path: `${folder}/./twice` }], true)).rejects.toThrow('this name');
  expect(readdirSync(folder)).toEqual([]);
});

test('what cannot be opened is told by the name that was given, and what was written before is gone', async () => {
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  for (const path of [join(file, 'under-a-file'), join(folder, 'no-folder', 'out')]) {
    const files = [join(folder, 'first'), path].map((name) => ({ path: name, chunks: [Buffer.from('x')] }));
    await expect(writeFiles(files, true)).rejects.toMatchObject({
      name: 'OutputError',
      place: { file: path },
    });
    expect(readdirSync(folder).filter((name) => /first|under-a-file|out/.test(name))).toEqual([]);
  }
  rmSync(file);
});

test('no report takes the place of what the command reads, by whatever name', async () => {
  const kernel = fixturePath('k61-256-nokaslr');
  const inputs = mkdtempSync(join(tmpdir(), 'heki-inputs-'));
  const at = (name: string): string => join(inputs, name);
  copyFileSync(kernel, at('guest.elf.gz'));
  writeFileSync(at('guest.json'), '{}');
  writeFileSync(at('iomem'), '00001000-0ffdffff : System RAM\n');
  symlinkSync('guest.elf.gz', at('link'));
  const dump = at('guest.elf.gz');
  try {
    for (const line of [
      ['audit', dump, '--html', dump],
      ['audit', dump, '--sarif', at('link')],
      ['audit', at('link'), '--markdown', dump],
      ['audit', dump, '--markdown', at('guest.json')],
      ['audit', dump, '--memory-map', at('iomem'), '--sarif', at('iomem')],
      ['audit', `${dump},${at('no.other')}`, '--html', dump],
      ['audit', dump, '--baseline', dump, '--update-baseline'],
      ['attack', '--snapshot', dump, '--html', dump],
      ['extract', dump, '--memory-map', at('iomem'), '-o', at('iomem'), '--force'],
    ]) {
      const { exitCode, stderr } = await runCommand(line);
      expect({ line, exitCode, stderr }).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining('this file is read by the same command'),
      });
    }
    expect(readFileSync(dump).equals(readFileSync(kernel))).toBe(true);
    expect(readFileSync(at('guest.json'), 'utf8')).toBe('{}');
  } finally {
    rmSync(inputs, { recursive: true });
  }
});
