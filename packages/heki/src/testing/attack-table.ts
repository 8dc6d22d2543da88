import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type Fixture, fixturePath, projectFile, ranOnce } from './run-command.ts';

interface Verdict {
  readonly outcome: string;
  readonly by: string | null;
  readonly errorCode: string | null;
}

/** What `heki protect --json` prints of the kernels in `fixtures`. */
export interface ProtectReport {
  readonly snapshot: string;
  readonly kernel: string;
  readonly profile: string;
  readonly mbec: boolean;
  readonly earlyInit: { readonly leaves: number; readonly pages: number };
  readonly controlRegisters: { readonly cr0: string; readonly cr4: string };
  readonly hypercalls: readonly {
    readonly nr: number;
    readonly listPages: readonly (readonly {
      readonly pa: string;
      readonly epa: string;
      readonly permissions: string;
      readonly immutable: boolean;
    }[])[];
    readonly result: number;
  }[];
  readonly pages: Readonly<Record<string, number>>;
  readonly attacks: readonly { readonly name: string; readonly without: Verdict; readonly with: Verdict }[];
  readonly log: readonly string[];
}

/** The report on a kernel, made once for the same arguments. */
export async function protect(name: Fixture, ...options: string[]): Promise<ProtectReport> {
  const { exitCode, stdout, stderr } = await ranOnce('protect', fixturePath(name), '--json', ...options);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** Short forms of verdicts, so that a table of them can be read. */
export const shortly = ({ outcome, by, errorCode }: Verdict): string =>
  [outcome, ...(by === null ? [] : [by]), ...(errorCode === null ? [] : [errorCode])].join(' ');

const succeeded = (attempts: number): readonly string[] =>
  Array.from({ length: attempts }, () => 'succeeded');

/** What the kernel's own page tables do about the eight attempts. */
const IN_ORDER = {
  // W^X is in force: the text is mapped read-only, in the image and in the direct map, and the data not executable.
  // But page tables are data, and CR4 is the kernel's.
  unprotected: ['blocked guest-page-tables 0x3', 'blocked guest-page-tables 0x3', ...succeeded(6)],
  // Before mark_rodata_ro, and with rodata=off, nothing is in the way.
  open: succeeded(8),
  // One bit of the direct map over the text was set.
  tampered: ['blocked guest-page-tables 0x3', ...succeeded(7)],
} as const;

const KIND: Readonly<Record<Fixture, keyof typeof IN_ORDER>> = {
  'k61-256-kaslr': 'unprotected',
  'k61-256-la57-kaslr': 'unprotected',
  'k61-256-nokaslr': 'unprotected',
  'k61-256-nokaslr-pti': 'unprotected',
  'k61-256-rodataoff': 'open',
  'k61-256-tampered-text-alias': 'tampered',
  'k61-2g-allmods': 'unprotected',
  'k61-4g-nokaslr': 'unprotected',
  'stage61-mark_rodata_ro': 'open',
  'stage61-rest_init': 'open',
  'stage61-run_init_process': 'unprotected',
};

/** What Heki makes of it. */
function expected(kind: keyof typeof IN_ORDER, profile: string, mbec: boolean): string[] {
  const verdicts: string[] = [...IN_ORDER[kind]];
  // The guest's handler takes an injected fault for a stale TLB entry, and as published retries for ever.
  const stopped = profile === 'rfc-v2' ? 'livelock' : 'blocked';
  // Without W^X in the guest the pages are collectively rwx, and Heki grants just that.
  if (kind === 'unprotected') verdicts[2] = `${stopped} second-level 0x3`;
  // Execution can be denied to the kernel alone only with MBEC.
  if (kind !== 'open' && mbec) verdicts[3] = `${stopped} second-level 0x11`;
  verdicts[4] = 'blocked cr-pin 0x0';
  return verdicts;
}

const ATTACKS = [
  'store-text',
  'store-text-direct-map',
  'store-text-after-pte-edit',
  'execute-data',
  'clear-smep',
  // Heki owns no translation, and grants what is asked for: this and the last succeed wherever they are tried.
  'remap-text',
  'store-data',
  'ask-for-execution',
];

/** The attack table of `heki protect` must be the one that is known of the kernel. */
export async function expectAttacks(
  name: Fixture,
  profile: 'hardened' | 'rfc-v2',
  mbec: boolean,
): Promise<void> {
  // What is the default is left unsaid: others look at the same report.
  const options = [profile === 'rfc-v2' ? ['--profile', profile] : [], mbec ? [] : ['--no-mbec']].flat();
  const report = await protect(name, ...options);
  expect(report).toMatchObject({ profile, mbec, snapshot: `${name}.elf.gz` });
  expect(report.attacks.map((attack) => attack.name)).toEqual(ATTACKS);
  expect(report.attacks.map((attack) => shortly(attack.without))).toEqual(IN_ORDER[KIND[name]]);
  expect(report.attacks.map((attack) => shortly(attack.with))).toEqual(expected(KIND[name], profile, mbec));
}

/** Under rfc-v2 it must send what the published guest core does, range by range. */
export async function expectPublishedRanges(name: Fixture): Promise<void> {
  const judge: { pageList: string[][][] } = JSON.parse(
    readFileSync(projectFile(`vectors/page-lists/${name}.json`), 'utf8'),
  );
  const report = await protect(name, '--profile', 'rfc-v2');
  const lists = report.hypercalls.filter(({ nr }) => nr === 14).flatMap(({ listPages }) => listPages);
  const ranges = lists.map((page) =>
    page.map(({ pa, epa, permissions, immutable }) => {
      const bits =
        (permissions[0] === 'r' ? 1 : 0) +
        (permissions[1] === 'w' ? 2 : 0) +
        (permissions[2] === 'x' ? 4 : 0) +
        (immutable ? 8 : 0);
      return [pa.slice(2), epa.slice(2), bits.toString(16)];
    }),
  );
  expect(ranges).toEqual(judge.pageList);
}
