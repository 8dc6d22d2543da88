import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { imageAddress } from '@heki/patch-sites';
import { virtualAddress } from '@heki/physical-memory';
import { symbolTableOf } from '@heki/symbols';
import { afterAll, expect, test } from 'vitest';
import { moduleFile } from '../testing/build-module-file.ts';
import { packageOf, tarFile } from '../testing/build-package.ts';
import { compareModules } from './module-contents.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-modules-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const START = 0xffff_ffff_c000_0000n;
const ALLOCATED_CODE = 6;
const ALLOCATED = 2;
const FOLDER = './lib/modules/6.1.0/kernel/fs';

const code = Buffer.alloc(64, 0x90);
const constants = Buffer.from('constants of a module');
const note = (id: number) =>
  Buffer.from([4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, id, 0, 0, 0]);
const fileOf = (id: number) =>
  moduleFile([
    { name: '.text', flags: ALLOCATED_CODE, bytes: code },
    { name: '.rodata', flags: ALLOCATED, bytes: constants },
    { name: '.note.gnu.build-id', flags: ALLOCATED, bytes: note(id) },
  ]);

const packedBy = (program: string, input: Buffer) => spawnSync(program, ['-c'], { input }).stdout;

/** What the guest has: each module on a page of its own, with its constants and its note behind the code. */
const PLACES = { '.text': 0, '.rodata': 0x400, '.note.gnu.build-id': 0x800 } as const;

/** The outcome of a comparison of modules that are loaded, in that order, with the files of a package. */
async function compared(
  loaded: readonly {
    readonly name: string;
    readonly id: number;
    readonly change?: readonly [at: number, byte: number];
  }[],
  files: readonly Buffer[],
) {
  const memory = Buffer.alloc(0x1000 * loaded.length);
  for (const [index, { id, change }] of loaded.entries()) {
    const page = memory.subarray(0x1000 * index, 0x1000 * (index + 1));
    page.set(code, PLACES['.text']);
    page.set(constants, PLACES['.rodata']);
    page.set(note(id), PLACES['.note.gnu.build-id']);
    if (change !== undefined) page.set([change[1]], change[0]);
  }
  const path = join(scratch, 'linux-image.deb');
  writeFileSync(path, packageOf('data.tar', Buffer.concat(files)));
  const modules = loaded.map(({ name }, index) => ({
    name,
    address: virtualAddress(START),
    parts: [],
    sections: Object.entries(PLACES).map(([section, at]) => ({
      name: section,
      address: virtualAddress(START + BigInt(0x1000 * index + at)),
    })),
    symbols: symbolTableOf([]),
  }));
  const first = imageAddress(virtualAddress(START));
  const result = await compareModules(
    path,
    { loaded: { modules, bpf: [], brokenLists: [] } },
    symbolTableOf([]),
    {
      symbols: { named: () => undefined, at: () => [], *withPrefix() {} },
      running: {
        live: (at, length) => {
          const from = at - first;
          return from < 0 || from + length > memory.length
            ? undefined
            : Uint8Array.from(memory.subarray(from, from + length));
        },
      },
    },
  );
  return {
    ...result,
    modules: result.modules?.map(({ name, unexplained }) => [
      name,
      unexplained.map(({ section, start }) => `${section.name}+${start - section.start}`),
    ]),
  };
}

test('modules are compared with their files, whose names have hyphens, however they are packed', async () => {
  const packed = [
    [1, 'plain', '', fileOf(1)],
    [2, 'by-gzip', '.gz', gzipSync(fileOf(2))],
    [3, 'by-xz', '.xz', packedBy('xz', fileOf(3))],
    [4, 'by-zstd', '.zst', packedBy('zstd', fileOf(4))],
  ] as const;
  // Where there is no such program, there is nothing to show.
  const here = packed.filter(([, , , bytes]) => bytes !== null);
  const loaded = here.map(([id, name]) => ({ id, name: name.replaceAll('-', '_') }));
  const files = here.map(([, name, ending, bytes]) =>
    tarFile(`${FOLDER}/${name}.ko${ending}`, bytes ?? Buffer.of()),
  );
  expect(await compared(loaded, files)).toEqual({
    modules: loaded.map(({ name }) => [name, []]),
    modulesLeftOut: [],
  });
});

test('a byte of code and one of constants that differ are told with their sections', async () => {
  const files = ['one', 'two'].map((name, index) => tarFile(`${FOLDER}/${name}.ko`, fileOf(index + 1)));
  const loaded = [
    { name: 'one', id: 1, change: [PLACES['.text'] + 5, 0xcc] },
    { name: 'two', id: 2, change: [PLACES['.rodata'] + 3, 0x21] },
  ] as const;
  expect(await compared(loaded, files)).toEqual({
    modules: [
      ['one', ['.text+5']],
      ['two', ['.rodata+3']],
    ],
    modulesLeftOut: [],
  });
});

test('a file of another build, one that is no module, and none at all leave a module out', async () => {
  const loaded = ['sound', 'other_build', 'damaged', 'absent'].map((name, index) => ({
    name,
    id: index + 1,
  }));
  const files = [
    tarFile(`${FOLDER}/sound.ko`, fileOf(1)),
    tarFile(`${FOLDER}/other-build.ko`, fileOf(9)),
    tarFile(`${FOLDER}/damaged.ko`, fileOf(3).subarray(0, 100)),
    tarFile('./usr/share/absent.ko', fileOf(4)),
  ];
  expect(await compared(loaded, files)).toEqual({
    modules: [['sound', []]],
    modulesLeftOut: ['other_build', 'damaged', 'absent'],
  });
});
