// Sequences of KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG and accesses, with what each comes to. They were not run on a KVM: the
// outcomes are by Linux's documents and source (Documentation/virt/kvm/api.rst 4.8 and 4.35; virt/kvm/kvm_main.c,
// __kvm_set_memory_region and kvm_get_dirty_log_protect; arch/x86/kvm/mmu/mmu.c), some of them behaviours of its selftest
// set_memory_region_test, told anew.
import type { Gfn } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createGuest, kernelVa, poke, type TestGuest } from '../testing/guest.ts';
import { MemslotFlag } from './memslot.ts';

/**
 * Steps, each with its outcome, all numbers hexadecimal:
 * - `set SLOT GPA SIZE [log] [ro] [at=HVA]`: 0 or an error. Without `at` the VMM has the memory at GPA;
 * - `load GPA`, `store GPA VALUE`, `fetch GPA`: a value, `done`, `mmio`, or `stopped` for KVM_EXIT_INTERNAL_ERROR;
 * - `dirty SLOT`: frames, or an error;
 * - `leaves`: how many of 4 KiB and of 2 MiB the second level has.
 *
 * Slot 0 is set: 2 MiB at 0, with the guest's page tables in it. The VMM has stored 1 at 400000 and 2 at 401000.
 */
const SEQUENCES: Readonly<Record<string, string>> = {
  // Creating, changing and deleting.
  'twice the same changes nothing':
    'set 1 400000 200000 = 0; load 400000 = 1; leaves = 0 2; set 1 400000 200000 = 0; leaves = 0 2',
  'another size, another place in the VMM, another READONLY':
    'set 1 400000 2000 = 0; set 1 400000 1000 = EINVAL; set 1 400000 3000 = EINVAL; set 1 400000 2000 at=600000 = EINVAL; set 1 400000 2000 ro = EINVAL; load 401000 = 2',
  'deleted by its number alone':
    'set 1 400000 2000 = 0; set 1 7000 0 at=9000 = 0; load 400000 = mmio; set 1 400000 0 = EINVAL',
  'deleted wherever the address says':
    'set 1 400000 2000 = 0; set 1 ffffffffffff0000 0 at=9000 = 0; load 400000 = mmio',
  'deleted with flags that there are':
    'set 1 400000 2000 = 0; set 1 400000 0 log = 0; set 1 400000 0 ro = EINVAL',
  'created anew after it was deleted, otherwise':
    'set 1 400000 2000 = 0; set 1 400000 0 = 0; set 1 600000 1000 ro at=401000 = 0; load 600000 = 2; store 600000 5 = mmio; load 601000 = mmio',
  'nothing is left of a refusal':
    'set 1 400000 2000 = 0; set 2 401000 2000 = EEXIST; set 2 401000 0 = EINVAL; set 2 402000 1000 = 0; load 401000 = 2',
  'overlap on either side':
    'set 1 400000 2000 = 0; set 2 3ff000 2000 = EEXIST; set 2 300000 400000 = EEXIST; set 2 3ff000 1000 = 0; set 3 402000 1000 = 0',
  'overlap comes last':
    'set 1 400000 2000 = 0; set 2 400800 1000 = EINVAL; set 2 400000 1000 at=800 = EINVAL; set 7ffc 400000 1000 = EINVAL',
  'the highest number, and one beyond':
    'set 7ffb 400000 1000 = 0; set 7ffc 500000 1000 = EINVAL; load 400000 = 1',
  'the largest slot, and one page more':
    'set 1 100000000 7ffffffe000 at=0 = 0; set 1 0 0 = 0; set 1 100000000 80000000000 at=0 = EINVAL',
  'beyond the addresses of the host':
    'set 1 3ffffffff000 1000 at=400000 = 0; set 2 400000000000 1000 = EINVAL; set 2 3fffffffe000 3000 at=0 = EEXIST',

  // Moving.
  'moved: the same bytes elsewhere':
    'set 1 400000 200000 = 0; load 401000 = 2; set 1 800000 200000 at=400000 = 0; load 401000 = mmio; load 801000 = 2; leaves = 0 2',
  'moved to where it is not aligned, and back':
    'set 1 400000 200000 = 0; load 400000 = 1; leaves = 0 2; set 1 3ff000 200000 at=400000 = 0; load 400000 = 2; load 3ff000 = 1; leaves = 2 1; set 1 400000 200000 = 0; load 400000 = 1; leaves = 0 2',
  'moved over itself':
    'set 1 400000 2000 = 0; set 1 401000 2000 at=400000 = 0; load 401000 = 1; load 402000 = 2; load 400000 = mmio',
  'moved into another':
    'set 1 400000 2000 = 0; set 2 500000 2000 = 0; set 1 501000 2000 at=400000 = EEXIST; load 400000 = 1; set 1 502000 2000 at=400000 = 0; load 502000 = 1',
  'stores of before are seen after':
    'set 1 400000 2000 = 0; store 400008 7 = done; set 1 600000 2000 at=400000 = 0; load 600008 = 7; store 600008 8 = done; set 1 400000 2000 = 0; load 400008 = 8',

  // Two slots over one memory.
  'one memory in two slots':
    'set 1 400000 1000 = 0; set 2 600000 1000 at=400000 ro = 0; store 400000 9 = done; load 600000 = 9; store 600000 a = mmio; load 400000 = 9',

  // Where no slot is.
  'a hole':
    'load 400000 = mmio; store 400000 1 = mmio; set 1 400000 1000 = 0; load 400000 = 1; fetch 400000 = done',
  'gone while it is used':
    'set 1 400000 1000 = 0; load 400000 = 1; fetch 400000 = done; set 1 400000 0 = 0; load 400000 = mmio; fetch 400000 = stopped',
  'code in a read-only slot':
    'set 1 400000 1000 ro = 0; fetch 400000 = done; load 400000 = 1; store 400000 1 = mmio; fetch 400000 = done',

  // The dirty log.
  'no log':
    'set 1 400000 1000 = 0; store 400000 5 = done; dirty 1 = ENOENT; dirty 2 = ENOENT; dirty 7ffc = EINVAL',
  // A load maps its frame so that it can be stored to, and from then on a store is not seen (make_spte): the frame is in the log.
  'the first load of a frame, too':
    'set 1 400000 4000 log = 0; load 400000 = 1; fetch 401000 = done; dirty 1 = 400 401; load 400000 = 1; fetch 401000 = done; dirty 1 = ; store 402000 5 = done; store 400000 5 = done; store 402008 5 = done; load 402000 = 5; dirty 1 = 400 402',
  'loads of a read-only slot':
    'set 1 400000 2000 ro log = 0; load 400000 = 1; fetch 401000 = done; store 400000 1 = mmio; dirty 1 = ',
  'asked twice':
    'set 1 400000 1000 log = 0; store 400000 5 = done; dirty 1 = 400; dirty 1 = ; load 400000 = 5; dirty 1 = ; store 400000 6 = done; dirty 1 = 400',
  'switched on where stores have been':
    'set 1 400000 2000 = 0; store 400000 5 = done; set 1 400000 2000 log = 0; dirty 1 = ; store 400000 6 = done; dirty 1 = 400',
  'switched off and on':
    'set 1 400000 2000 log = 0; store 400000 5 = done; set 1 400000 2000 = 0; dirty 1 = ENOENT; store 401000 5 = done; set 1 400000 2000 log = 0; dirty 1 = ; store 401000 5 = done; dirty 1 = 401',
  'moved with its log':
    'set 1 400000 2000 log = 0; store 401000 5 = done; set 1 600000 2000 log at=400000 = 0; dirty 1 = 601; dirty 1 = ; store 600000 5 = done; dirty 1 = 600',
  'moved, and the log switched on':
    'set 1 400000 2000 = 0; store 401000 5 = done; set 1 600000 2000 log at=400000 = 0; dirty 1 = ; store 601000 5 = done; dirty 1 = 601',
  'moved, and the log switched off':
    'set 1 400000 2000 log = 0; store 401000 5 = done; set 1 600000 2000 at=400000 = 0; dirty 1 = ENOENT; set 1 400000 2000 log = 0; dirty 1 = ',
  'a refusal keeps the log':
    'set 1 400000 2000 log = 0; store 401000 5 = done; set 1 400000 1000 log = EINVAL; set 1 100000 2000 log at=400000 = EEXIST; dirty 1 = 401',
  'set as it is keeps the log':
    'set 1 400000 2000 log = 0; store 401000 5 = done; set 1 400000 2000 log = 0; dirty 1 = 401',
  'deleted with its log':
    'set 1 400000 2000 log = 0; store 401000 5 = done; set 1 400000 0 = 0; dirty 1 = ENOENT; set 1 400000 2000 log = 0; dirty 1 = ',
  'the log of a read-only slot':
    'set 1 400000 1000 ro log = 0; load 400000 = 1; store 400000 5 = mmio; dirty 1 = ; set 1 400000 1000 ro = 0; dirty 1 = ENOENT',
  'each slot has its own':
    'set 1 400000 1000 log = 0; set 2 401000 1000 log = 0; store 400000 5 = done; store 401000 5 = done; dirty 1 = 400; dirty 2 = 401; dirty 1 = ',
  'one memory, two logs':
    'set 1 400000 1000 log = 0; set 2 600000 1000 log at=400000 = 0; store 600000 5 = done; dirty 1 = ; dirty 2 = 600; load 400000 = 5',
  'small pages while it logs':
    'set 1 400000 200000 = 0; load 400000 = 1; leaves = 0 2; set 1 400000 200000 log = 0; leaves = 0 1; load 400000 = 1; leaves = 1 1; store 401000 5 = done; dirty 1 = 400 401; set 1 400000 200000 = 0; load 401000 = 5; leaves = 0 2',
};

const ERRORS: Readonly<Record<number, string>> = { [-2]: 'ENOENT', [-17]: 'EEXIST', [-22]: 'EINVAL' };
/** Host-physical address of the VMM's address 0. */
const VMM = 0x1_0000_0000n;

interface World {
  readonly guest: TestGuest;
  /** Exits to the VMM since the last step. */
  exits: string[];
}

function createWorld(): World {
  const exits: string[] = [];
  const guest = createGuest({ vmm: { onExit: ({ reason }) => exits.push(reason) } });
  poke(guest, 0x40_0000, [1n]);
  poke(guest, 0x40_1000, [2n]);
  guest.vm.removeMemory(0 as Gfn);
  const world = { guest, exits };
  expect(take(world, 'set 0 0 200000')).toBe('0');
  return world;
}

/** What one step comes to. */
function take({ guest, exits }: World, step: string): string {
  const { cpu, vm } = guest;
  const [name = '', ...words] = step.split(' ');
  const numbers = words.filter((word) => /^[0-9a-f]+$/.test(word)).map((word) => BigInt(`0x${word}`));
  const [first = 0n, second = 0n, third = 0n] = numbers;
  exits.length = 0;
  const va = kernelVa(Number(first));
  switch (name) {
    case 'set': {
      const at = words.find((word) => word.startsWith('at='))?.slice(3);
      const answer = vm.ioctls.setUserMemoryRegion({
        slot: Number(first),
        flags:
          (words.includes('log') ? MemslotFlag.LOG_DIRTY_PAGES : 0) |
          (words.includes('ro') ? MemslotFlag.READONLY : 0),
        guestPhysicalAddress: second,
        memorySize: third,
        userspaceAddress: VMM + (at === undefined ? second % 2n ** 40n : BigInt(`0x${at}`)),
      });
      return ERRORS[answer] ?? `${answer}`;
    }
    case 'dirty': {
      const frames = vm.ioctls.getDirtyLog(Number(first));
      return typeof frames === 'number'
        ? (ERRORS[frames] ?? `${frames}`)
        : frames.map((gfn) => gfn.toString(16)).join(' ');
    }
    case 'leaves': {
      const { pages4K, pages2M } = vm.leafCounts();
      return `${pages4K} ${pages2M}`;
    }
    default: {
      const outcome =
        name === 'load' ? cpu.load(va, 8) : name === 'store' ? cpu.store(va, 8, second) : cpu.fetch(va);
      if (exits.includes('mmio')) return 'mmio';
      if (outcome.kind !== 'done' || name !== 'load') return outcome.kind;
      return `${outcome.value}`;
    }
  }
}

describe('memslots', () => {
  test.each(Object.entries(SEQUENCES))('%s', (_, sequence) => {
    const world = createWorld();
    for (const step of sequence.split('; ')) {
      const [call = '', outcome = ''] = step.split(/ = ?/);
      expect(`${call} = ${take(world, call)}`).toBe(`${call} = ${outcome}`);
    }
  });
});
