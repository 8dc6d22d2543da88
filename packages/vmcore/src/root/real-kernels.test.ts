import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { virtualAddressOf } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { parseMemoryMap } from '../memory-map-text.ts';
import { openVmcore } from '../node/open-vmcore.ts';
import { fixtureFacts, fixtureNames, fixturePath } from '../testing/fixtures.ts';
import { chosenRootOf } from './cpu-root.ts';
import { doubtsAbout } from './doubts.ts';
import { fitOfMemoryMap } from './memory-map-fit.ts';
import { resolveKernelRoot } from './resolve-kernel-root.ts';

const memoryMap = (path: string) => parseMemoryMap(readFileSync(path, 'utf8'));

describe.each(fixtureNames)('the root of the real kernel %s', (name) => {
  const core = openVmcore(fixturePath(`${name}.elf.gz`));
  const facts = fixtureFacts(name);
  const kernel = resolveKernelRoot(core);

  it('proves itself, with the direct map where page_offset_base says', () => {
    const published = facts.la57 ? 0xff11_0000_0000_0000n : 0xffff_8880_0000_0000n;
    const told = facts.page_offset_base === undefined ? published : BigInt(facts.page_offset_base);
    expect(virtualAddressOf(kernel.directMap.start)).toBe(told);
    expect(kernel.origin).toMatchObject({ name: 'CR3 of CPU 0', cpu: 0 });
    expect(kernel.tablePages.mapped).toBe(kernel.tablePages.looked);
    expect(doubtsAbout(core, kernel)).toEqual([]);
  });

  it('maps exactly the memory of its machine', () => {
    const map = memoryMap(fixturePath(`${name}.json`));
    expect(fitOfMemoryMap(kernel, map)).toEqual({ unknown: [], cleared: [], unnamed: [] });
  });
});

const foreign = readdirSync(fixturePath('foreign')).filter((name) => name.endsWith('.elf.gz'));

describe.each(foreign)('the root of the foreign kernel %s', (name) => {
  const path = fixturePath(`foreign/${name}`);
  const core = openVmcore(path);
  const kernel = resolveKernelRoot(core);

  it('proves itself, and goes with the registers of a CPU', () => {
    expect(kernel.tablePages.mapped).toBe(kernel.tablePages.looked);
    expect(kernel.origin.cpu).toBe(0);
    expect(doubtsAbout(core, kernel)).toEqual([]);
  });

  it('maps exactly the memory of its machine', () => {
    const beside = path.replace('.elf.gz', '.json');
    const map =
      existsSync(beside) && /"iomem"/.test(readFileSync(beside, 'utf8')) ? memoryMap(beside) : undefined;
    if (map === undefined) return;
    const { unknown, unnamed } = fitOfMemoryMap(kernel, map);
    expect({ unknown, unnamed }).toEqual({ unknown: [], unnamed: [] });
  });
});

describe('under page-table isolation', () => {
  const open = (name: string) => openVmcore(fixturePath(`foreign/${name}.elf.gz`));

  it.each([
    ['entry-syscall-pti', 0x5d15, 0x5d14],
    ['pti-user-mode', 0x5d11, 0x5d10],
  ])("the root is not the user's that the CPU of %s stands on", (name, user, kernelHalf) => {
    const core = open(name);
    expect(chosenRootOf(core).root).toBe(user);
    expect(resolveKernelRoot(core).root).toBe(0x2a10);
    const { root, origin } = resolveKernelRoot({ ...core, vmcoreinfo: undefined });
    expect([root, origin.kind]).toEqual([kernelHalf, 'pti-kernel-half']);
    expect(origin.refused.map(({ name: what }) => what)).toEqual(['CR3 of CPU 0']);
    // With nothing but the user's root in the dump, there is none.
    const { memory } = core;
    const lone = {
      ...memory,
      page: (frame: number) => (frame === kernelHalf ? undefined : memory.page(frame as never)),
    };
    expect(() => resolveKernelRoot({ ...core, vmcoreinfo: undefined, memory: lone })).toThrow(
      'no page table',
    );
  });

  it('a memory map of the guest fits', () => {
    const map = memoryMap(fixturePath('foreign/entry-syscall-pti.iomem'));
    const fit = fitOfMemoryMap(resolveKernelRoot(open('entry-syscall-pti')), map);
    expect(fit).toEqual({ unknown: [], cleared: [], unnamed: [] });
  });
});
