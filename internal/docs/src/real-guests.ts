import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Page, textBlock } from './page.ts';
import { printed, printedWithFindings } from './printed.ts';

/** The first `count` lines of a report of the audit, without its picture of memory. */
async function audit(fixture: string, count: number): Promise<string> {
  const text = await printedWithFindings(['audit', `fixtures/${fixture}`, '--no-heki']);
  const lines = text.split('\n').filter((line) => !/^ *0x|^one character/.test(line));
  const apart = lines.filter((line, index) => line !== '' || lines[index - 1] !== '');
  return textBlock(apart.slice(0, count).join('\n').trimEnd().split('\n'));
}

/** A guest with VMCOREINFO as QEMU's `dump-guest-memory` left it, which is what libvirt calls. */
const GUEST = 'fixtures/formats/kdump-qemu-flattened.gz';
const TEXT = 'ffffffffa2600000';
const block = async (...args: readonly string[]): Promise<string> =>
  textBlock((await printed(args)).trimEnd().split('\n'));

/** How large it is when it is packed depends on the version of zlib. */
async function extraction(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'heki-docs-'));
  try {
    const text = await printed(['extract', GUEST, '-o', join(folder, 'small.elf.gz')]);
    const named = text.replace(`${folder}/`, '').replace(basename(GUEST), 'guest.elf');
    return textBlock(
      named
        .replace(/, packed .*/, '')
        .trimEnd()
        .split('\n'),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A guest that libvirt dumps. */
export const libvirtPage: Page = {
  file: 'docs/real-guests/libvirt.md',
  parts: {
    walk: () => block('walk', GUEST, '--range', `${TEXT}-ffffffffa3000000`),
    symbols: () => block('symbols', 'fixtures/symbols/k612-symbols.elf.gz', 'sys_call_table'),
    extract: extraction,
  },
};

/** A guest that runs. */
export const runningQemuPage: Page = {
  file: 'docs/real-guests/running-qemu.md',
  parts: { translation: () => block('translate', GUEST, TEXT) },
};

/** A kernel whose text can be written through the direct map. */
const TAMPERED = 'k61-256-tampered-text-alias.elf.gz';

/** What kdump left of a machine. */
export const crashedMachinePage: Page = {
  file: 'docs/real-guests/crashed-machine.md',
  parts: {
    audit: () => audit('formats/kdump-makedumpfile.gz', 14),
    finding: () => audit(TAMPERED, 12),
    entry: () => block('translate', `fixtures/${TAMPERED}`, '0xffff888001000000', '--access', 'write'),
  },
};

/** A kernel in continuous integration. */
export const ciJobPage: Page = {
  file: 'docs/real-guests/ci-job.md',
  parts: { audit: () => audit('k61-256-rodataoff.elf.gz', 18) },
};
