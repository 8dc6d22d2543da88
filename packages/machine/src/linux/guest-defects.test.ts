import { createKvm } from '@heki/kvm';
import { type Gfn, gfn, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { CR4, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { type BootedMachine, bootMachine, done, keepImagePages } from '../testing/booted-machine.ts';

const PROFILES = ['rfc-v2', 'hardened'] as const;

/** What each profile makes of the same life. */
function each<Result>(life: (machine: BootedMachine) => Result): {
  [profile in (typeof PROFILES)[number]]: Result;
} {
  return { 'rfc-v2': life(bootMachine('rfc-v2')), hardened: life(bootMachine('hardened')) };
}

describe('the second level of a living kernel, with the published guest on the published KVM and with both mended,', () => {
  test('lets text of a module be patched, and leaves it writable and executable for ever as published (B-H1)', () => {
    const life = (machine: BootedMachine): string[] => {
      const { kernel, granted, loadModule } = machine;
      // B-G4 alone would make text in them writable.
      keepImagePages(kernel);
      const { text, address } = loadModule('m');
      const rights = [granted(text)];
      done(kernel.textPoke(address, Uint8Array.of(0xcc)));
      rights.push(granted(text));
      done(kernel.unloadModule('m'));
      return [...rights, granted(text)];
    };
    expect(each(life)).toEqual({ 'rfc-v2': ['r-x', 'rwx', 'rwx'], hardened: ['r-x', 'r-x', 'rw-'] });
  });

  test('never makes the rodata of a module read-only as published (B-H1)', () => {
    const life = ({ kernel, granted, loadModule }: BootedMachine): string => {
      keepImagePages(kernel);
      return granted(loadModule('m').rodata);
    };
    expect(each(life)).toEqual({ 'rfc-v2': 'rw-', hardened: 'r--' });
  });

  test('takes execution from the trampoline as published (B-G6)', () => {
    const life = ({ kernel, granted }: BootedMachine): string[] => {
      const { pages } = kernel.build.trampoline;
      return Array.from({ length: pages }, (_, page) => granted(gfn(kernel.trampoline + page)));
    };
    expect(each(life)).toEqual({
      'rfc-v2': ['rw-', 'rw-', 'rw-', 'rw-', 'rw-', 'rw-', 'rw-'],
      hardened: ['r--', 'r-x', 'r-x', 'rw-', 'rw-', 'rw-', 'rw-'],
    });
  });

  test('starts no processor any more as published, because it starts in the trampoline (B-G6)', () => {
    const restart = (profile: (typeof PROFILES)[number]) => {
      const { kernel } = bootMachine(profile, { vcpus: 2 });
      done(kernel.cpuDown(1));
      return kernel.cpuUp(1).kind;
    };
    expect([restart('rfc-v2'), restart('hardened')]).toEqual(['error', 'done']);
  });

  test('makes module text in freed init memory writable as published: its old mapping is counted (B-G4)', () => {
    const life = ({ kernel, granted, loadModule }: BootedMachine): string => {
      const { text } = loadModule('m');
      expect(text - kernel.layout.textFrame).toBeLessThan(21 * 512);
      return granted(text);
    };
    expect(each(life)).toEqual({ 'rfc-v2': 'rwx', hardened: 'r-x' });
  });

  test('does not hear of plain memory that becomes read-only in the direct map as published (B-G5)', () => {
    const life = ({ kernel, granted, protectCalls }: BootedMachine) => {
      keepImagePages(kernel);
      const frame: Gfn = done(kernel.allocatePages());
      const before = protectCalls();
      done(kernel.setMemory('ro', virtualAddressOf((kernel.layout.directMap + frame) as VirtualFrame), 1));
      return [protectCalls() - before, granted(frame)];
    };
    expect(each(life)).toEqual({ 'rfc-v2': [0, 'rw-'], hardened: [1, 'r--'] });
  });

  test('is never asked to protect memory on a processor without a feature to pin as published (B-G19)', () => {
    const plain = {
      ...INTEL_VT_RP,
      cr4: INTEL_VT_RP.cr4 & ~(CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE),
    };
    const life = (profile: (typeof PROFILES)[number]) => {
      const hypervisor = createKvm({ profile, processor: plain });
      const { kernel, frameOf, granted, heki } = bootMachine(profile, { hypervisor });
      return [heki.protectsMemory, granted(frameOf(kernel.address('_text')))];
    };
    expect(life('rfc-v2')).toEqual([false, 'rwx']);
    expect(life('hardened')).toEqual([true, 'r-x']);
  });

  test('is never asked by a kernel with KASLR compiled in as published (B-G20)', () => {
    const life = (profile: (typeof PROFILES)[number]) => {
      const { kernel, frameOf, granted } = bootMachine(profile, { kernelConfig: { RANDOMIZE_BASE: true } });
      return granted(frameOf(kernel.address('_text')));
    };
    expect([life('rfc-v2'), life('hardened')]).toEqual(['rwx', 'r-x']);
  });

  test('has module text writable before its mapping goes as published (B-G22)', () => {
    const life = (profile: (typeof PROFILES)[number]): boolean => {
      let look = (): void => {};
      let seen = false;
      const { kernel, loadModule, granted, frameOf } = bootMachine(profile, { interleave: () => look() });
      keepImagePages(kernel);
      const { text, address } = loadModule('m');
      look = () => {
        seen ||= frameOf(address) === text && granted(text).includes('w');
      };
      done(kernel.unloadModule('m'));
      return seen;
    };
    expect([life('rfc-v2'), life('hardened')]).toEqual([true, false]);
  });
});
