import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sourceAddress } from './source-address.ts';
import { workItems } from './work-items.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-sources-'));
afterAll(() => rmSync(folder, { recursive: true }));
for (const name of ['a.elf', 'b.elf', 'c,d.elf']) writeFileSync(join(folder, name), name);

test.each([
  ['file:///dumps/a%20b.elf', '/dumps/a b.elf'],
  ['FILE://localhost/dumps/a', '/dumps/a'],
  ['file:/dumps/a', '/dumps/a'],
  ['a.elf', join(folder, 'a.elf')],
  ['../x', join(folder, '../x')],
  ['a.elf,b.elf', `${join(folder, 'a.elf')},${join(folder, 'b.elf')}`],
  [`file://${folder}/a.elf,file://${folder}/b.elf`, `${join(folder, 'a.elf')},${join(folder, 'b.elf')}`],
  ['c,d.elf', join(folder, 'c,d.elf')],
  ['QMP:/run/guest.qmp', 'qmp:/run/guest.qmp'],
  ['qmp:guest.qmp', `qmp:${join(folder, 'guest.qmp')}`],
  ['Gdb:localhost:1234', 'gdb:localhost:1234'],
  ['gdb:[::1]:1234', 'gdb:[::1]:1234'],
  ['gdb:run/gdb', `gdb:${join(folder, 'run/gdb')}`],
  ['HTTPS://host/a', 'https://host/a'],
  ['S3://bucket/Key', 's3://bucket/Key'],
])('%s is the guest at %s', (text, address) => {
  expect(sourceAddress(text, folder)).toBe(address);
});

test.each([
  ['file://elsewhere/a', 'expected file:///PATH'],
  ['file:a', 'expected file:///PATH'],
  ['file:///a?b', 'with %3F for ?'],
  ['file:///a#b', '%23 for #'],
  ['file:///a%2Fb', 'expected file:///PATH'],
  ['https://me:secret@host/a', 'expected one without (https://host/a)'],
  ['https://host/a,https://me:secret@host/b', 'expected one without (https://host/a,https://host/b)'],
  ['s3://bucket/a?X-Amz-Signature=secret', 'expected one without (s3://bucket/a)'],
])('%s is refused', (text, why) => {
  expect(() => sourceAddress(text, folder)).toThrow(why);
});

test('paths of a manifest are relative to it, and what is wrong in it is told with its place', async () => {
  const manifest = join(folder, 'guests.json');
  const write = (...uris: readonly string[]) =>
    writeFileSync(
      manifest,
      JSON.stringify({ version: 1, items: uris.map((uri) => ({ uri })) }, undefined, 1),
    );
  write('a.elf', './a.elf', 'a.elf,b.elf', `file://${folder}/b.elf`);
  for (const source of [manifest, `file://${manifest}`]) {
    const { items } = await workItems([source], {});
    expect(items.map((item) => item.source.uri)).toEqual([
      join(folder, 'a.elf'),
      `${join(folder, 'a.elf')},${join(folder, 'b.elf')}`,
      join(folder, 'b.elf'),
    ]);
  }
  write('a.elf', 'https://me:secret@host/a');
  await expect(workItems([manifest], {})).rejects.toThrow(
    `${manifest}: items.1.uri: an address with a user, a password or a query`,
  );
  write('file://elsewhere/a');
  await expect(workItems([manifest], {})).rejects.toThrow(
    `${manifest}: items.0.uri: file://elsewhere/a: not the address`,
  );
});

test('a file of a pattern that is not there keeps no other from being submitted', async () => {
  const guests = join(folder, 'guests');
  mkdirSync(guests);
  writeFileSync(join(guests, 'a.elf'), 'a');
  writeFileSync(Buffer.concat([Buffer.from(`${guests}/b`), Buffer.of(0xff), Buffer.from('.elf')]), 'b');
  const { items, missing } = await workItems([`${guests}/*.elf`], {});
  expect(items.map(({ source }) => source.uri)).toEqual([join(guests, 'a.elf')]);
  expect(missing).toEqual([join(guests, 'b\ufffd.elf')]);
  await expect(workItems([join(guests, 'b\ufffd.elf')], {})).rejects.toThrow('ENOENT');
});
