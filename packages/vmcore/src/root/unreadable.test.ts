import { createHash } from 'node:crypto';
import { PAGE_SIZE } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { openVmcore } from '../node/open-vmcore.ts';
import { buildCore } from '../testing/build-core.ts';
import { fixturePath } from '../testing/fixtures.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';
import { resolveKernelRoot } from './resolve-kernel-root.ts';

/** What cannot be told from ciphertext, and is the same in each run. */
function random(pages: number): Uint8Array {
  const blocks = Array.from({ length: (pages * PAGE_SIZE) / 64 }, (_, block) =>
    createHash('sha512').update(`${block}`).digest(),
  );
  return Buffer.concat(blocks);
}

const vmcoreinfo = (text: string) => ({ name: 'VMCOREINFO', descriptor: new TextEncoder().encode(text) });
const encrypted = random(300);

describe('a dump in which nothing is a kernel of 64-bit mode is named for what it seems to be', () => {
  it.each([
    [
      'OSRELEASE=6.1\nSYMBOL(swapper_pg_dir)=ffff800009d41000\nNUMBER(kimage_voffset)=0xffff7fffc8000000\n',
      'AArch64',
    ],
    ['OSRELEASE=6.1\nSYMBOL(swapper_pg_dir)=c1a5f000\n', '32-bit kernel (swapper_pg_dir at 0xc1a5f000)'],
  ])('by its VMCOREINFO, in a core and in a raw image (%#)', (text, name) => {
    const core = buildCore({
      loads: [{ address: 0, bytes: new Uint8Array(PAGE_SIZE) }],
      notes: [vmcoreinfo(text)],
    });
    expect(() => resolveKernelRoot(readVmcore(core))).toThrow(name);
    const raw = new Uint8Array(2 ** 20);
    raw.set(new TextEncoder().encode(text), 0x3000);
    expect(() => resolveKernelRoot(readVmcore(raw))).toThrow(name);
  });

  it.each(['Xen', 'VMCOREINFO_XEN'])('by a note of Xen: %s', (name) => {
    const told = vmcoreinfo('SYMBOL(swapper_pg_dir)=ffffffff82a10000\n');
    const page = { address: 0, bytes: new Uint8Array(PAGE_SIZE) };
    const core = buildCore({ loads: [page], notes: [told, { name, descriptor: new Uint8Array(80) }] });
    expect(() => resolveKernelRoot(readVmcore(core))).toThrow('it is the memory of a Xen host');
    expect(() => resolveKernelRoot(readVmcore(buildCore({ loads: [page], notes: [told] })))).not.toThrow(
      'Xen',
    );
  });

  it('by registers that are all zero: their state is encrypted', () => {
    const core = openVmcore(fixturePath('k61-256-nokaslr.elf.gz'));
    const cpus = core.cpus.map((cpu) => ({ ...cpu, cr0: 0n, cr3: 0n, cr4: 0n }));
    const hidden: Vmcore = { ...core, cpus, vmcoreinfo: undefined, rootLikePages: [] };
    expect(() => resolveKernelRoot(hidden)).toThrow('state is encrypted (SEV-ES, SEV-SNP, TDX)');
  });

  it.each(['CR3', 'swapper_pg_dir'])('by a root that is ciphertext, where %s has it', (by) => {
    const core = openVmcore(fixturePath('k61-256-nokaslr.elf.gz'));
    const page = new Uint32Array(Uint8Array.from(encrypted.subarray(0, PAGE_SIZE)).buffer);
    const memory = { ...core.memory, page: () => page };
    const hidden: Vmcore =
      by === 'CR3'
        ? { ...core, memory, vmcoreinfo: undefined }
        : { ...core, memory, cpus: [], rootLikePages: [] };
    expect(() => resolveKernelRoot(hidden)).toThrow(`which ${by}`);
    expect(() => resolveKernelRoot(hidden)).toThrow('evenly random, as encrypted memory (SEV, TDX)');
  });

  it('by most pages of an image that are ciphertext; zeroes and a kernel are not', () => {
    expect(() => resolveKernelRoot(readVmcore(encrypted))).toThrow(
      /\d+ of \d+ pages that were looked at are evenly random/,
    );
    expect(() => resolveKernelRoot(readVmcore(new Uint8Array(2 ** 20)))).toThrow(
      'nor a page with the structure',
    );
    const core = openVmcore(fixturePath('k61-256-nokaslr.elf.gz'));
    const noRoot: Vmcore = { ...core, cpus: [], vmcoreinfo: undefined, rootLikePages: [] };
    expect(() => resolveKernelRoot(noRoot)).toThrow('nor a page with the structure');
  });
});
