import { createKvm, type KvmOptions } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { hlatMachine } from '../hlat/hlat-machine.ts';

type HlatChoice = KvmOptions['hlat'];

/** KVM with HLAT as chosen; `undefined`: without. */
export function hlatOn(hlat: HlatChoice): ReturnType<typeof hlatMachine> {
  const create = () => createKvm(hlat === undefined ? {} : { hlat });
  return hlatMachine({ name: 'hlat', create, driver: initHekiOnKvm, profile: 'hardened' });
}

/** What is left out, and the properties that fall then. */
export const HLAT_VARIANTS: readonly (readonly [name: string, hlat: HlatChoice, falls: readonly string[]])[] =
  [
    ['no HLAT', undefined, ['ALIAS', 'P7']],
    ['all of it', true, []],
    ['no verification', { verification: false }, ['ALIAS']],
    ['paging-write everywhere', { pagingWrite: 'everywhere' }, ['ALIAS', 'P12']],
  ];

/** The first story to each property that falls anywhere. */
export const HLAT_STORIES: readonly (readonly [property: string, story: readonly string[]])[] = [
  [
    'P7',
    [
      'the guest asks for r-- on the read-only data',
      'the guest maps the address of the read-only data to the data',
      'processor 0 reads at the address of the read-only data',
    ],
  ],
  [
    'ALIAS',
    [
      'the guest asks for r-x on the text',
      'the guest maps another address to the text',
      'processor 0 reads at another address',
    ],
  ],
  [
    'P12',
    [
      'the guest asks for r-- on the read-only data',
      'the guest has its tables lead through the read-only data',
      'processor 0 reads where the read-only data is its page table',
    ],
  ],
];
