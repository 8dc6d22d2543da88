import { readFileSync } from 'node:fs';
import { frameOf, type Gfn, type Gpa, PAGE_SIZE, readBytes } from '@heki/physical-memory';
import { CR4 } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { infoTlbLine } from './info-tlb.ts';
import { parseMemoryMap } from './memory-map-text.ts';
import { openVmcore } from './node/open-vmcore.ts';
import { pagingRegistersOf } from './paging-registers.ts';
import { resolveKernelRoot } from './root/resolve-kernel-root.ts';
import { fixtureFacts, fixtureNames, fixturePath, inflatedFixture } from './testing/fixtures.ts';
import { walkSlowly } from './testing/walk-slowly.ts';
import { readVmcore, type Vmcore } from './vmcore.ts';

describe.each(fixtureNames)('the real kernel %s', (name) => {
  const core = openVmcore(fixturePath(`${name}.elf.gz`));
  const facts = fixtureFacts(name);

  it('has the control registers that the guest had, and EFER as QEMU told it', () => {
    const registers = pagingRegistersOf(core);
    expect(registers.cr0).toBe(BigInt(facts.cr0));
    expect(registers.cr3).toBe(BigInt(facts.cr3));
    expect(registers.cr4).toBe(BigInt(facts.cr4));
    expect(registers.efer).toBe(BigInt(facts.efer));
    expect(core.threads.map(({ pid }) => pid)).toEqual([1]);
    expect(core.threads[0]?.registers.rip).toBe(core.cpus[0]?.registers.rip);
    expect(core.threads[0]?.registers.rsp).toBe(core.cpus[0]?.registers.rsp);
  });

  it('prints exactly the text of QEMU for its kernel half', () => {
    const lines = walkSlowly(core.memory, resolveKernelRoot(core).root, facts.la57 ? 5 : 4).map(infoTlbLine);
    expect(`${lines.join('\n')}\n`).toBe(inflatedFixture(`${name}.info-tlb.txt.gz`).toString());
  });

  it('holds its table pages and nothing else', () => {
    const held = core.segments.flatMap(({ start, end }) => {
      const first = frameOf(start);
      return Array.from({ length: (end - start) / 4096 }, (_, i) => (first + i) as Gfn);
    });
    expect(held.length).toBe(facts.page_table_pages);
    expect(held.filter((frame) => core.memory.page(frame)?.length !== 1024)).toEqual([]);
    const behind = held.map((frame) => (frame + 1) as Gfn).filter((frame) => !held.includes(frame));
    expect(behind.filter((frame) => core.memory.page(frame) !== undefined)).toEqual([]);
  });

  it('reads the same from memory as from the file', () => {
    const bytes = readVmcore(inflatedFixture(`${name}.elf.gz`));
    expect(bytes.cpus).toEqual(core.cpus);
    expect(bytes.segments).toEqual(core.segments);
    const pageIn = ({ memory }: Vmcore, address: Gpa): Buffer => {
      const page = Buffer.alloc(PAGE_SIZE);
      readBytes(memory, address, page);
      return page;
    };
    const differs = ({ start }: { readonly start: Gpa }) => !pageIn(bytes, start).equals(pageIn(core, start));
    expect(core.segments.filter(differs)).toEqual([]);
  });

  it('tells in its vmcoreinfo what it is, when the guest had the device', () => {
    const info = core.vmcoreinfo;
    if (info === undefined) return;
    expect(facts.kernel).toContain(info.release);
    expect(info.fiveLevel).toBe((BigInt(facts.cr4) & CR4.LA57) !== 0n);
    expect(info.symbol('_stext')).toBe(0xffff_ffff_8100_0000n + (info.kernelOffset ?? 0n));
    expect(info.swapperPgDir).toBe(
      Number(
        (info.symbol('swapper_pg_dir') ?? 0n) - 0xffff_ffff_8000_0000n + (info.number('phys_base') ?? 0n),
      ),
    );
  });
});

describe('the memory map beside a real kernel', () => {
  it.each(fixtureNames)('of %s ends where the published core stopped counting', (name) => {
    const lists = readFileSync(fixturePath(`../vectors/page-lists/${name}.json`), {
      encoding: 'utf8',
    });
    const { pfnLimit } = JSON.parse(lists) as { pfnLimit: string };
    expect(parseMemoryMap(readFileSync(fixturePath(`${name}.json`), 'utf8')).ramEnd).toBe(Number(pfnLimit));
  });
});
