import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { editCore } from './edit-core.ts';
import { EDITED_FIXTURES, type EditedFixture } from './edited-fixtures.ts';
import type { Guest, GuestFacts } from './guest.ts';
import { type Judgement, judge } from './judge.ts';

/** The repository, seen from the compiled program. */
const ROOT = join(import.meta.dirname, '../../..');
const HEKI = join(ROOT, 'packages/heki/dist/main.js');
const FIXTURES = join(ROOT, 'fixtures/foreign');

/** What QEMU says of the kernel's half of the tables, counted by the judge. */
interface Judged {
  readonly by: string;
  readonly root: string;
  readonly leaves: number;
  /** Of the lines of `info tlb` for the kernel's half. */
  readonly infoTlbSha256: string;
  readonly pages: Judgement;
}

/** Makes the fixture of a guest out of its dump in `folder`, and those that are edited copies of it. */
export function makeFixture(guest: Guest, folder: string): void {
  const dump = join(folder, guest.name);
  const facts: GuestFacts = JSON.parse(readFileSync(join(dump, 'dump.json'), 'utf8'));
  extract(join(dump, 'dump.elf'), guest.name, guest.user === true);
  const judged = judgeDump(dump, facts);
  const made = {
    by: 'heki extract, of a dump of a Debian kernel under QEMU TCG',
    package: `linux-image-${guest.kernel}`,
    qemuVersion: facts.qemuVersion,
    qemuCommand: facts.qemuCommand,
    stopped: guest.stop ?? 'anywhere',
    userHalfKept: guest.user === true,
    commands: guest.commands ?? [],
    plugged: guest.plug ?? [],
    registers: facts.registers,
    licence: 'page tables and registers of a running kernel: none of its code or data is in it',
  };
  addToSidecar(guest.name, { ...eferOf(facts), about: guest.about, made, judged });
  for (const edited of EDITED_FIXTURES) {
    if (edited.of === guest.name) makeEdited(edited, facts, { made, judged });
  }
}

function makeEdited(
  { name, of, about, edit, apply }: EditedFixture,
  facts: GuestFacts,
  { made, judged }: { readonly made: object; readonly judged: Judged },
): void {
  const bytes = gunzipSync(readFileSync(join(FIXTURES, `${of}.elf.gz`)));
  apply(editCore(bytes), ramEnd(facts.iomem));
  writeFileSync(join(FIXTURES, `${name}.elf.gz`), gzipSync(bytes, { level: 9 }));
  writeFileSync(join(FIXTURES, `${name}.json`), readFileSync(join(FIXTURES, `${of}.json`)));
  const { infoTlbSha256: _, ...counted } = judged;
  addToSidecar(name, {
    about,
    made: { ...made, edited: { of, edit } },
    judged: { ...counted, by: `${judged.by}, before the edit` },
  });
}

/** Of the first CPU, in the form of a sidecar: QEMU's note does not have it. */
function eferOf({ registers }: GuestFacts): { readonly efer?: string } {
  const efer = registers[0]?.efer;
  return efer === undefined ? {} : { efer: `0x${BigInt(`0x${efer}`).toString(16)}` };
}

function extract(dump: string, name: string, user: boolean): void {
  const output = join(FIXTURES, `${name}.elf.gz`);
  const { status, stderr } = spawnSync(
    process.execPath,
    [HEKI, 'extract', dump, '-o', output, '--force', ...(user ? ['--user'] : [])],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`heki extract ends with ${status}: ${stderr}`);
}

/** The kernel's root is the even one of a pair, and the CPU's own where there is no pair. */
function judgeDump(dump: string, { registers, iomem }: GuestFacts): Judged {
  const cr3 = BigInt(`0x${registers[0]?.cr3 ?? '0'}`) & ~0xfffn;
  const name = (root: bigint) => `0x${root.toString(16)}`;
  const text = (root: bigint) => {
    const path = join(dump, `${name(root)}.info-tlb.txt.gz`);
    return existsSync(path) ? gunzipSync(readFileSync(path)).toString('latin1') : '';
  };
  const kernelHalf = (root: bigint) =>
    text(root)
      .split('\n')
      .filter((line) => line.startsWith('f'));
  // Of a pair, the kernel's root maps more of the kernel's half than the user's. Without a pair the even one is not a root.
  const root = kernelHalf(cr3 & ~0x1000n).length > kernelHalf(cr3).length ? cr3 & ~0x1000n : cr3;
  const lines = kernelHalf(root);
  return {
    by: "QEMU's `info tlb`, counted by internal/guests/src/judge.ts",
    root: name(root),
    leaves: lines.length,
    infoTlbSha256: createHash('sha256')
      .update(lines.map((line) => `${line}\n`).join(''))
      .digest('hex'),
    pages: judge(text(root), iomem),
  };
}

function addToSidecar(name: string, facts: object): void {
  const path = join(FIXTURES, `${name}.json`);
  const sidecar = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  writeFileSync(path, `${JSON.stringify({ ...sidecar, ...facts }, undefined, 1)}\n`);
}

function ramEnd(iomem: readonly string[]): bigint {
  const ends = iomem.flatMap((line) => {
    const last = /^[0-9a-f]+-([0-9a-f]+) : System RAM/.exec(line)?.[1];
    return last === undefined ? [] : [BigInt(`0x${last}`) + 1n];
  });
  return ends.sort((a, b) => (a < b ? -1 : 1)).at(-1) ?? 0n;
}
