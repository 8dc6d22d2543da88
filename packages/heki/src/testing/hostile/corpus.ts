import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { coreBytes } from '../mutated-core.ts';
import { fixturePath, projectFile } from '../run-command.ts';
import { commandsOn, type DumpReaders, type HostileCase } from './hostile-case.ts';

const KERNEL = fixturePath('k61-256-nokaslr');

/** How a file of each ending that is no dump is read. */
const READERS: readonly [ending: string, lines: (file: string, folder: string) => readonly HostileCase[]][] =
  [
    [
      '.iomem',
      (file, folder) => [
        ['protect', KERNEL, '--memory-map', file],
        ['extract', KERNEL, '-o', join(folder, 'map.elf.gz'), '--force', '--memory-map', file],
      ],
    ],
    ['.config', (file) => [['protect', KERNEL, '--kernel-config', file, '--json']]],
    ['.map', (file) => [['boot', '--memory', '64MiB', '--kernel', file]]],
    ['.symbols.json', (file) => [['boot', '--memory', '64MiB', '--kernel', file]]],
    ['.scenario.json', (file) => [['boot', '--memory', '64MiB', '--scenario', file]]],
    [
      '.recording.json',
      (file) => [
        ['replay', file],
        ['replay', file, '--profile', 'rfc-v2', '--json'],
      ],
    ],
    ['.json', (file) => [['protect', KERNEL, '--memory-map', file]]],
  ];

function linesFor(file: string, folder: string, readers: DumpReaders): readonly HostileCase[] {
  if (/\.elf(\.gz)?$/.test(file)) return readers(file, folder);
  return READERS.find(([ending]) => file.endsWith(ending))?.[1](file, folder) ?? [];
}

/** What reads the files in `fixtures/hostile`. */
export function corpusCases(folder: string, readers: DumpReaders): HostileCase[] {
  const corpus = projectFile('fixtures/hostile');
  const names = readdirSync(corpus).sort();
  return names.flatMap((name) => linesFor(join(corpus, name), folder, readers));
}

/** What reads files that are too large for the tree, or no files. */
export function generatedCases(folder: string, readers: DumpReaders): HostileCase[] {
  mkdirSync(folder, { recursive: true });
  const place = (name: string): string => join(folder, name);
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(place(name), content);
    return place(name);
  };
  /** A file of 1 TiB, nearly all of it a hole. */
  const sparse = (name: string, content: Uint8Array): string => {
    const descriptor = openSync(place(name), 'w');
    writeSync(descriptor, content);
    ftruncateSync(descriptor, 2 ** 40);
    closeSync(descriptor);
    return place(name);
  };
  const nothing = sparse('sparse', new Uint8Array(1));
  const everywhere = (path: string): HostileCase[] => [
    ['protect', KERNEL, '--memory-map', path],
    ['protect', KERNEL, '--kernel-config', path],
    ['boot', '--kernel', path],
    ['boot', '--scenario', path],
    ['replay', path],
    ['walk', path],
    ['protect', KERNEL, '--attack', path],
  ];

  for (let index = 0; index < 32; index++) {
    const next = index < 31 ? [`${index + 1}.json`, `${index + 1}.json`] : [];
    file(`${index}.json`, JSON.stringify({ include: next }));
  }
  const ranges = Array.from({ length: 20_000 }, (_, at) => {
    const address = (page: number): string => (page * 4096).toString(16).padStart(8, '0');
    return `${address(at * 3)}-${address(at * 3 + 2).slice(0, -3)}fff : System RAM`;
  });
  const zeros = gzipSync(Buffer.alloc(2 ** 26));
  const bomb = Buffer.concat(Array.from({ length: 20 }, () => zeros));
  return [
    ...['/dev/zero', nothing, folder, '/proc/self/status'].flatMap(everywhere),
    ['boot', '--scenario', place('0.json')],
    ['protect', KERNEL, '--memory-map', file('many.iomem', `${ranges.join('\n')}\n`)],
    ['protect', fixturePath('k61-4g-nokaslr'), '--memory-map', file('most.iomem', manyRanges())],
    ['protect', KERNEL, '--memory-map', file('nested-deep.iomem', nestedRanges())],
    ['replay', file('empty-objects.json', `[[${'{},'.repeat(2 ** 21)}{}]]`)],
    ['replay', file('long-text.json', `["${'x'.repeat(2 ** 25)}"]`)],
    ['replay', file('bomb.json.gz', bomb)],
    ...commandsOn(file('bomb.elf.gz', bomb), folder).slice(1, 2),
    ...commandsOn(file('bomb-of-a-core.elf.gz', Buffer.concat([gzipSync(wideCore()), bomb])), folder).slice(
      0,
      1,
    ),
    ...readers(sparse('wide.elf', wideCore()), folder),
    ...commandsOn(sparse('note.elf', longNote()), folder).slice(0, 2),
    ...readers(file('many-headers.elf', manyHeaders()), folder),
  ];
}

/** The memory of the kernel of 4 GiB, with a reserved page in every fifty. */
function manyRanges(): string {
  const lines = ['00001000-0009fbff : System RAM'];
  for (const [start, end] of [
    [0x10_0000, 0xbffe_0000],
    [0x1_0000_0000, 0x1_4000_0000],
  ] as const) {
    for (let at = start; at + 50 * 4096 <= end; at += 50 * 4096) {
      lines.push(`${at.toString(16)}-${(at + 49 * 4096 - 1).toString(16)} : System RAM`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Ranges of RAM, each in all of those above it. */
function nestedRanges(): string {
  const last = 'ffffffffff : System RAM\n';
  return Array.from({ length: 80_000 }, (_, page) => `${(page * 4096).toString(16)}-${last}`).join('');
}

/** A core whose last segment claims a tebibyte, which its file has. */
function wideCore(): Buffer {
  const core = coreBytes('stage61-rest_init');
  const headers = core.readUInt16LE(56);
  const last = Number(core.readBigUInt64LE(32)) + (headers - 1) * 56;
  const size = 2n ** 40n - core.readBigUInt64LE(last + 8) - 4096n;
  core.writeBigUInt64LE(size, last + 32);
  core.writeBigUInt64LE(size, last + 40);
  return core;
}

/** A core whose notes claim 4 GiB. */
function longNote(): Buffer {
  const core = coreBytes('stage61-rest_init');
  core.writeBigUInt64LE(2n ** 32n, Number(core.readBigUInt64LE(32)) + 32);
  return core;
}

/** A core with 65,534 program headers, all for one page at another address. */
function manyHeaders(): Buffer {
  const core = coreBytes('stage61-rest_init');
  const count = 0xfffe;
  const kept = core.readUInt16LE(56);
  const table = core.subarray(Number(core.readBigUInt64LE(32))).subarray(0, kept * 56);
  const more = Buffer.alloc((count - kept) * 56);
  for (let index = 0; index < count - kept; index++) {
    table.copy(more, index * 56, 56, 112);
    more.writeBigUInt64LE(2n ** 33n + BigInt(index) * 8192n, index * 56 + 24);
    more.writeBigUInt64LE(4096n, index * 56 + 32);
    more.writeBigUInt64LE(4096n, index * 56 + 40);
  }
  core.writeUInt16LE(count, 56);
  core.writeBigUInt64LE(BigInt(core.length), 32);
  return Buffer.concat([core, table, more]);
}
