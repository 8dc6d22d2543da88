import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { coreBytes, pagesOf } from '../mutated-core.ts';
import { fixturePath, projectFile } from '../run-command.ts';
import { commandsOn, type DumpReaders, type HostileCase } from './hostile-case.ts';
import { coresWithEdges, mutateCore, mutateGzip } from './mutate-core.ts';
import { mutateJson } from './mutate-json.ts';
import { mutateText } from './mutate-text.ts';
import { createRandom, type Random } from './random.ts';

const KERNEL = fixturePath('k61-256-nokaslr');
const BESIDE = projectFile('fixtures/k61-256-nokaslr.json');

/** Writes each file once it is asked for, under a name of its own. */
function createFiles(folder: string) {
  let count = 0;
  return (content: string | Uint8Array, end: string): string => {
    const path = join(folder, `${count++}${end}`);
    writeFileSync(path, content);
    return path;
  };
}

const text = (path: string): string => readFileSync(projectFile(path), 'utf8');

/** The first calls of a real kernel's life. */
function recording(): unknown {
  const [calls = []] = JSON.parse(
    gunzipSync(readFileSync(projectFile('vectors/counters/real-6.1-256m.json.gz'))).toString(),
  ) as unknown[][];
  return [calls.filter((_, index) => index % 40 === 0).slice(0, 120)];
}

/** What reads dumps with one field of their headers at an edge, `every` one, or `one` of each field. */
export function edgeCases(folder: string, readers: DumpReaders, which: 'every' | 'one'): HostileCase[] {
  const file = createFiles(folder);
  const cases: HostileCase[] = [];
  for (const core of coresWithEdges(coreBytes('stage61-rest_init'), which)) {
    cases.push(...readers(file(core, '.elf'), folder));
  }
  return cases;
}

/** `count` command lines on files that are real ones changed at random. */
export function randomCases(folder: string, seed: number, count: number): HostileCase[] {
  mkdirSync(folder, { recursive: true });
  const random = createRandom(seed);
  const file = createFiles(folder);
  const core = coreBytes('stage61-rest_init');
  const pages = pagesOf(core).map(([address]) => address);
  const sidecar: unknown = JSON.parse(readFileSync(BESIDE, 'utf8'));
  const iomem = (sidecar as { iomem: string[] }).iomem.join('\n');
  const symbols = Object.entries((sidecar as { symbols: Record<string, string> }).symbols)
    .map(([name, address]) => `${address.slice(2)} T ${name}`)
    .join('\n');
  const scenarios = ['boot-kaslr', 'boot-module-churn', 'boot-attacks'].map((name): unknown =>
    JSON.parse(text(`examples/${name}/scenario.json`)),
  );
  const life = recording();
  const accepted = { fingerprint: '0123456789abcdef', id: 'heki/wx-alias', severity: 'high', pages: 3 };
  const baseline = {
    version: 1,
    accepted: [accepted, { ...accepted, reason: 'known', expires: '2027-01-31' }],
  };
  const config = 'CONFIG_RANDOMIZE_BASE=y\nCONFIG_LOCALVERSION="-cloud"\n# CONFIG_HEKI is not set\n'.repeat(
    20,
  );

  const json = (value: unknown): string =>
    random.nat(3) === 0
      ? mutateText(JSON.stringify(value), random)
      : (JSON.stringify(mutateJson(value, random)) ?? '');
  const besideDump = (dump: Uint8Array, value: unknown): string => {
    const path = file(dump, '.elf.gz');
    writeFileSync(path.replace('.elf.gz', '.json'), json(value));
    return path;
  };
  const packed = readFileSync(KERNEL);
  const kinds: readonly [(random: Random) => HostileCase, ...((random: Random) => HostileCase)[]] = [
    () => random.of(commandsOn(file(mutateCore(core, pages, random), '.elf'), folder)),
    () => random.of(commandsOn(file(mutateCore(core, pages, random), '.elf'), folder)),
    () => random.of(commandsOn(file(mutateGzip(packed, random), '.elf.gz'), folder)),
    () => random.of(commandsOn(besideDump(packed, sidecar), folder)),
    () => ['protect', KERNEL, '--memory-map', file(mutateText(iomem, random), '.iomem')],
    () => [
      'extract',
      KERNEL,
      '-o',
      join(folder, 'map.elf.gz'),
      '--force',
      '--memory-map',
      file(json(sidecar), '.json'),
    ],
    () => ['protect', KERNEL, '--kernel-config', file(mutateText(config, random), '.config')],
    () => ['boot', '--memory', '64MiB', '--kernel', file(mutateText(symbols, random), '.symbols')],
    () => [
      'boot',
      '--memory',
      '64MiB',
      '--kernel',
      file(json({ symbols: (sidecar as { symbols: unknown }).symbols }), '.json'),
    ],
    () => [
      'boot',
      '--memory',
      '64MiB',
      '--scenario',
      file(json(scenarios[random.nat(scenarios.length)]), '.json'),
    ],
    () => ['audit', KERNEL, '--no-heki', '--baseline', file(json(baseline), '.json')],
    () => ['replay', file(json(life), '.json')],
    () => [
      'replay',
      file(mutateGzip(gzipSync(JSON.stringify(life)), random), '.json.gz'),
      '--profile',
      'rfc-v2',
    ],
  ];
  return Array.from({ length: count }, () => random.of(kinds)(random));
}
