import { PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import { CR4, EFER } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { openVmcore } from '../../node/open-vmcore.ts';
import { assumedRegistersOf } from '../../paging-registers.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { fixturePath, inflatedFixture } from '../../testing/fixtures.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';

describe('/proc/vmcore of a crashed kernel, whose image has a PT_LOAD of its own', () => {
  const core = openVmcore(fixturePath('formats/proc-vmcore-small.elf.gz'));
  const kernel = resolveKernelRoot(core);

  it('leads to swapper_pg_dir by VMCOREINFO, with a phys_base below zero', () => {
    expect(core.vmcoreinfo?.number('phys_base')).toBe(-113246208n);
    expect(kernel.root * PAGE_SIZE).toBe(core.vmcoreinfo?.swapperPgDir);
    expect(kernel.origin).toMatchObject({ kind: 'swapper-pg-dir', cpu: undefined });
  });

  it('has the leaves that the guest had', () => {
    const leaves = walkSlowly(core.memory, kernel.root, 4).map(({ virtualFrame, level, low, high }) => {
      const entry = (BigInt(high) << 32n) + BigInt(low);
      const size = PAGE_SIZE * 512 ** (level - 1);
      return `${virtualAddressOf(virtualFrame).toString(16)} ${size.toString(16)} ${entry.toString(16).padStart(16, '0')}`;
    });
    expect(leaves.length).toBe(11_482);
    expect(`${leaves.join('\n')}\n`).toBe(
      inflatedFixture('formats/proc-vmcore-small.leaves.txt.gz').toString(),
    );
  });

  it('has no control registers: nothing is assumed of CR4 that the tables do not show', () => {
    expect(core.cpus).toEqual([]);
    expect(core.threads.length).toBe(1);
    const { cr0, cr3, cr4, efer } = assumedRegistersOf(core, kernel);
    expect([cr0, cr3, cr4]).toEqual([0x80050033n, BigInt(kernel.root) << 12n, CR4.PAE]);
    expect(efer & EFER.NXE).toBe(EFER.NXE);
  });
});
