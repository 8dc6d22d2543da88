import { createHyperv } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm } from '@heki/paravirt';
import { createMemoryMap } from '@heki/physical-memory';
import { CPU_PROFILES, type CpuProfile, EntryLow } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { auditKernel } from '../index.ts';
import { type TamperedKernel, tamperedKernel } from '../testing/tampered-kernel.ts';
import { type UnderHeki, underHeki } from './index.ts';

const NAME = 'k61-256-nokaslr';
const MBEC = CPU_PROFILES.find(({ ept }) => ept?.modeBasedExecute) as CpuProfile;
const NO_MBEC = CPU_PROFILES.find(({ ept }) => ept !== undefined && !ept.modeBasedExecute) as CpuProfile;

function look(
  kernel: TamperedKernel,
  {
    profile = 'hardened',
    processor = MBEC,
    on = 'kvm',
    hlat = false,
  }: { profile?: 'rfc-v2' | 'hardened'; processor?: CpuProfile; on?: 'kvm' | 'hyperv'; hlat?: boolean } = {},
): UnderHeki {
  const subject = kernel.subject();
  const audited = auditKernel(subject).kernel;
  const memoryMap = subject.memoryMap ?? createMemoryMap([]);
  const registers = { cr0: 0x8005_0033n, cr4: 0x75_0eb0n & processor.cr4, efer: 0xd01n };
  const common = { memoryMap, registers, profile };
  return on === 'kvm'
    ? underHeki(audited, {
        ...common,
        hypervisor: createKvm({ processor, profile, hlat }),
        driver: initHekiOnKvm,
      })
    : underHeki(audited, {
        ...common,
        hypervisor: createHyperv({ processor, mbec: true, trusted: {} }),
        driver: initHekiOnHyperv,
      });
}

const outcomes = ({ work }: UnderHeki) => Object.fromEntries(work.map(({ id, outcome }) => [id, outcome]));

describe('what Heki would do with a real kernel', () => {
  test('holds text and constants for good; patches of the text are refused, and the trampoline works', () => {
    const result = look(tamperedKernel(NAME));
    expect(result.inForce).toBe(true);
    expect(result.pages.get('r-x')).toEqual({ pages: 4389, immutable: 4389 });
    expect(result.pages.get('rw-')?.immutable).toBe(0);
    expect(outcomes(result)).toEqual({
      'patch-kernel': 'refused',
      'patch-modules': 'refused',
      'start-processors': 'works',
      kexec: 'works',
    });
    expect(result.leaves.lost['2M']).toBeGreaterThan(0);
    expect(result.open.map(({ id }) => id)).toEqual(['remapping', 'asking', 'data-only']);
  });

  test('as published, the trampoline loses execution, and patches and kexec break', () => {
    const result = look(tamperedKernel(NAME), { profile: 'rfc-v2' });
    expect(outcomes(result)).toEqual({
      'patch-kernel': 'breaks',
      'patch-modules': 'breaks',
      'start-processors': 'breaks',
      kexec: 'breaks',
    });
    expect(result.work.find(({ id }) => id === 'start-processors')).toMatchObject({ pages: 2, shut: 2 });
  });

  test('remapping stays open, and whether HLAT could shut it is told', () => {
    const remapping = (result: UnderHeki) => result.open.find(({ id }) => id === 'remapping')?.text;
    expect(remapping(look(tamperedKernel(NAME)))).toContain('which the processor has and Heki does not use');
    expect(remapping(look(tamperedKernel(NAME), { processor: NO_MBEC }))).toContain(
      'which the processor lacks',
    );
    expect(remapping(look(tamperedKernel(NAME), { hlat: true }))).toContain('that HLAT does not translate');
  });

  test('without mode-based execute control, execution of data stays open', () => {
    const result = look(tamperedKernel(NAME), { processor: NO_MBEC });
    expect(result.open.map(({ id }) => id)).toContain('execution');
  });

  test('says that pages which mappings let one write and execute are not protected', () => {
    const kernel = tamperedKernel(NAME);
    kernel.edit(0xffff_8880_0120_0000n, 2, (entry) => {
      entry.low |= EntryLow.RW;
    });
    const writable = look(kernel).open.find(({ id }) => id === 'writable-code');
    expect(writable?.text).toContain('512 pages');
  });

  test('on another backend, whose policy the guest does not own, no one asks', () => {
    const result = look(tamperedKernel(NAME), { on: 'hyperv' });
    expect(result.inForce).toBe(true);
    expect(result.open.map(({ id }) => id)).not.toContain('asking');
  });

  test('where the kernel finds no Heki, nothing is in force and all is open', () => {
    const kernel = tamperedKernel(NAME);
    const subject = kernel.subject();
    const result = underHeki(auditKernel(subject).kernel, {
      memoryMap: subject.memoryMap ?? createMemoryMap([]),
      registers: { cr0: 0x8005_0033n, cr4: 0x6b0n, efer: 0xd01n },
      hypervisor: createKvm({ processor: MBEC }),
      driver: () => false,
    });
    expect(result.inForce).toBe(false);
    expect(result.ranges).toEqual([]);
    expect(result.open.map(({ id }) => id)).toEqual(['not-in-force']);
  });
});
