import { type ConformanceSetup, conformanceCases } from '@heki/hypervisor/conformance';
import { AMD_ZEN4 } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import type { KvmDefectId } from './defects/kvm-defects.ts';
import { kvmDefects } from './defects/kvm-defects.ts';
import type { KvmEvent } from './event.ts';
import type { KvmOptions } from './options.ts';
import { kvmSetup } from './testing/conformance-setup.ts';
import type { KvmVirtualMachine } from './virtual-machine.ts';

/** The cases that find a defect, as a pattern of their names, and the host on which it shows when that is not the usual one. */
const FOUND: {
  readonly [id in KvmDefectId]: { readonly by: string; readonly on?: KvmOptions; readonly private?: true };
} = {
  'B-H1': { by: 'the owner asks for rwxu, then for r--u' },
  'B-H2': { by: '170 entries in a page' },
  'B-H3': { by: 'a list that leads back to itself' },
  'B-H4': { by: 'a list at no memory' },
  'B-H5': { by: 'a range outside memory' },
  'B-H6': { by: 'a bad range behind a good one' },
  'B-H7': { by: 'memory that the owner never asked for' },
  'B-H8': { by: 'the owner gives the halves of 2 MiB' },
  'B-H9': { by: 'gives all of a small region one kind of rights' },
  'B-H10': { by: 'memory that is taken away and comes again' },
  'B-H11': { by: 'before any request|never asked for', private: true },
  'B-H12': { by: 'a store by hypervisor' },
  'B-H13': { by: 'bit 16 of CR0 stays' },
  'B-H14': { by: 'reset is declared to clear' },
  'B-H15': { by: 'cleared by an instruction that is emulated' },
  'B-H16': { by: 'seed|asks for|halves|middle', on: { nxHugePages: true } },
  'B-H17': { by: 'asks for', on: { processor: AMD_ZEN4 } },
  'B-H18': { by: 'write without read' },
  'B-H19': { by: 'do not flood the log' },
  'B-H20': { by: 'does not lock it out' },
  'B-ALIAS': { by: 'over memory of the guest' },
  'B-NESTED': { by: 'a guest inside the guest' },
};

/** KVM with `defects`, which declares what it would without them. */
function mutant(
  options: KvmOptions,
  defects: KvmOptions['defects'],
  isPrivate: boolean,
): ConformanceSetup<KvmVirtualMachine, KvmEvent> {
  const honest = kvmSetup({ ...options, privateMemory: isPrivate });
  const broken = kvmSetup({
    ...options,
    privateMemory: isPrivate,
    ...(defects === undefined ? {} : { defects }),
  });
  const { hypervisor } = broken;
  return {
    ...broken,
    hypervisor: {
      ...hypervisor,
      capabilities: honest.hypervisor.capabilities,
      createVirtualMachine(host) {
        const vm = hypervisor.createVirtualMachine(host);
        if (!isPrivate) return vm;
        // Guest memory is private as a confidential VM has it.
        const { addMemory } = vm;
        return Object.defineProperty(vm, 'addMemory', {
          value: (region: Parameters<typeof addMemory>[0]) => {
            addMemory(region);
            vm.ioctls.setMemoryAttributes({
              address: BigInt(region.start) << 12n,
              size: BigInt(region.frames) << 12n,
              attributes: 8n,
              flags: 0n,
            });
          },
        });
      },
    },
  };
}

/** Names of the cases that fail. */
function failures(setup: ConformanceSetup<KvmVirtualMachine, KvmEvent>, names = /./): string[] {
  return conformanceCases(setup).flatMap(({ area, name, run }) => {
    if (!names.test(name)) return [];
    try {
      run();
      return [];
    } catch {
      return [`${area}: ${name}`];
    }
  });
}

describe('the conformance kit finds every defect that can be seen from outside', () => {
  test('every defect of KVM is in the table', () => {
    expect(Object.keys(FOUND).sort()).toEqual(Object.keys(kvmDefects).sort());
  });

  test.each(Object.entries(FOUND))('%s', (id, { by, on = {}, private: isPrivate = false }) => {
    expect(failures(mutant(on, { [id]: true }, isPrivate), new RegExp(by))).not.toEqual([]);
  });

  test.each([
    ['private memory', {}, true],
    ['nx_huge_pages', { nxHugePages: true }, false],
  ] as const)('nothing is found with %s and no defect', (_name, on, isPrivate) => {
    expect(failures(mutant(on, undefined, isPrivate))).toEqual([]);
  });
});
