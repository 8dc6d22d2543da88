import { createKvm, type KvmOptions } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { expect, test } from 'vitest';
import { runAttack } from '../attack/run-attack.ts';
import { attackNamed, machineNamed } from '../testing/backends.ts';
import { bootMachine } from './boot-machine.ts';

/** What a backend has that no specification of a machine can leave out: an attack that it stops, and the backend without it. */
const MATTERS: readonly (readonly [
  mechanism: string,
  attack: string,
  machine: string,
  without: KvmOptions,
])[] = [
  [
    'a flush before rights are granted',
    'race-stale-translation',
    'hardened',
    { races: { localFlush: true } },
  ],
  ['a second look at what faulted', 'race-stale-translation', 'hardened', { races: { staleFaults: true } }],
  ['GMET', 'execute-data-unpaged', 'hardened-gmet', { gmet: false }],
  ['guest-paging verification', 'execute-text-elsewhere', 'hardened-hlat', { hlat: { verification: false } }],
  [
    'paging-write for the owner’s tables alone',
    'walk-over-rodata',
    'hardened-hlat',
    { hlat: { pagingWrite: 'everywhere' } },
  ],
];

test.each(MATTERS)(
  '%s matters: %s on %s succeeds without it, and not with it',
  (_, attack, machine, without) => {
    const verdictWith = (options: KvmOptions): string =>
      runAttack(attackNamed(attack), () =>
        bootMachine(machineNamed(machine).machine, () => ({
          create: (settings) => createKvm({ ...settings, ...options }),
          driver: initHekiOnKvm,
        })),
      ).verdict;
    expect([verdictWith({}), verdictWith(without)]).toEqual(['blocked', 'succeeds']);
  },
);
