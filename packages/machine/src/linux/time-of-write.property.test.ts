import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import { initHekiOnKvm, initHekiOnLvbs } from '@heki/paravirt';
import type { VirtualAddress } from '@heki/physical-memory';
import { type Agent, createScheduler, type Scheduler } from '@heki/vcpu';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLinuxMachine, createSigningAuthority, type HekiDriver, pcMemoryMap } from '../index.ts';

const TEXT = new Uint8Array(4096).fill(0x90);
/** Where the attacker writes in the module's text, and what. Without KASLR the first module lies where the area for modules begins. */
const MODULES = 0xffff_ffff_c000_0000n;
const PLACE = 0x20n;
const BYTE = 0xcc;
/** Of so many turns of the other processors the attacker has one. */
const TURNS = 12;

/** When the other processor has its turns: by a seed, or as in an earlier race. */
interface Order {
  readonly seed: number;
  readonly schedule?: readonly number[];
}

/** How a module came to be loaded while somebody on another processor wrote into it. */
interface Race {
  readonly loaded: boolean;
  /** The attacker's byte is in the text of the module. */
  readonly changed: boolean;
  /** Of the attacker's stores, how many completed and how many did not. */
  readonly stores: { readonly done: number; readonly denied: number };
  readonly schedule: readonly number[];
}

type Platform = () => {
  readonly hypervisor: Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
};

const onKvm: Platform = () => ({ hypervisor: createKvm(), driver: initHekiOnKvm });
const onLvbs: Platform = () => {
  const authority = createSigningAuthority();
  authority.sign({ name: 'm', memory: { text: TEXT } });
  return {
    hypervisor: createHyperv({ trusted: authority.signed }),
    driver: initHekiOnLvbs,
  };
};

/** The first processor loads a module; between its accesses the second idles, or stores into the module's text. */
function race(platform: Platform, { seed, schedule = [] }: Order): Race {
  let scheduler: Scheduler | undefined;
  const machine = createLinuxMachine({
    ...platform(),
    memoryMap: pcMemoryMap(32 * 2 ** 20),
    kernel: SMALL_KERNEL,
    vcpus: 2,
    interleave: () => void scheduler?.step(),
  });
  const { kernel, vcpus } = machine;
  expect(kernel.boot().kind).toBe('done');
  const stores = { done: 0, denied: 0 };
  const agent = (name: string, turn: () => void): Agent => ({
    name,
    steps: (function* () {
      for (;;) {
        turn();
        yield undefined;
      }
    })(),
  });
  const attack = (): void => {
    const outcome = vcpus[1]?.store((MODULES + PLACE) as VirtualAddress, 1, BigInt(BYTE));
    stores[outcome?.kind === 'done' ? 'done' : 'denied']++;
  };
  const idle = Array.from({ length: TURNS - 1 }, (_, index) => agent(`idle ${index}`, () => {}));
  scheduler = createScheduler({ agents: [...idle, agent('attacker', attack)], seed, schedule });
  const outcome = kernel.loadModule({ name: 'm', memory: { text: TEXT } });
  const turns = scheduler.run(0).schedule;
  scheduler = undefined;
  if (outcome.kind !== 'done') return { loaded: false, changed: false, stores, schedule: turns };
  expect(outcome.value.memory.get('text')?.address).toBe(MODULES);
  const byte = kernel.vcpu.load((MODULES + PLACE) as VirtualAddress, 1);
  const changed = byte.kind === 'done' && Number(byte.value) === BYTE;
  return { loaded: true, changed, stores, schedule: turns };
}

describe('a module that somebody writes into while it is loaded', () => {
  const seeds = Array.from({ length: 8 }, (_, seed) => seed);

  test('runs with code of the attacker where what becomes executable is not checked', () => {
    const races = seeds.map((seed) => race(onKvm, { seed }));
    expect(races.every(({ loaded }) => loaded)).toBe(true);
    expect(races.some(({ changed }) => changed)).toBe(true);
    // The window closes: from when the page is r-x in the second level no store completes.
    expect(races.some(({ stores }) => stores.denied > 0)).toBe(true);
  });

  test('is what was signed, or is not loaded, where a secure kernel compares it', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        expect(race(onLvbs, { seed }).changed).toBe(false);
      }),
      { numRuns: 4 },
    );
    // Either end is met: he came in time and was found out, or he came too late.
    const ends = seeds.map((seed) => race(onLvbs, { seed }));
    expect(new Set(ends.map(({ loaded }) => loaded))).toEqual(new Set([true, false]));
    expect(ends.some(({ changed }) => changed)).toBe(false);
  });

  test('meets the same fate when the turns are replayed, whatever the seed is then', () => {
    for (const platform of [onKvm, onLvbs]) {
      const first = race(platform, { seed: 7 });
      expect(race(platform, { seed: 1234, schedule: first.schedule })).toEqual(first);
    }
  });
});
