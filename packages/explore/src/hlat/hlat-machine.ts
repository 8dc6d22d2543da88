import type { Vcpu } from '@heki/vcpu';
import { DATA, TEXT } from '../backend/frames.ts';
import type { ExploredBackend } from '../backend/tiny-guest.ts';
import type { Machine, Property } from '../machine.ts';
import { HlatGuest, type Place, RODATA } from './hlat-guest.ts';

const PROPERTIES: readonly Property[] = [
  { id: 'P7', says: 'an address of what is protected leads there for ever' },
  { id: 'ALIAS', says: 'what is protected is reached at no other address of the image' },
  { id: 'P12', says: 'the bytes of a page that is protected stay' },
];

/** Something that can happen. */
export interface HlatAction {
  readonly name: string;
  /** `false` when it cannot happen now. */
  run(guest: HlatGuest): boolean;
}

/** A point of a story: the story itself. */
export interface HlatState {
  readonly story: readonly HlatAction[];
  readonly key: string;
  readonly broken: readonly string[];
}

function kernel(name: string, run: (guest: HlatGuest) => void): HlatAction {
  return {
    name: `the guest ${name}`,
    run(guest) {
      run(guest);
      return true;
    },
  };
}

function processor(cpu: number, name: string, run: (guest: HlatGuest, vcpu: Vcpu) => void): HlatAction {
  return {
    name: `processor ${cpu} ${name}`,
    run(guest) {
      const vcpu = guest.vcpus[cpu];
      if (vcpu === undefined || vcpu.halted !== undefined) return false;
      run(guest, vcpu);
      return true;
    },
  };
}

const AT: Readonly<Record<Place, string>> = {
  text: 'at the address of the text',
  rodata: 'at the address of the read-only data',
  free: 'at another address',
};

const ACTIONS: readonly HlatAction[] = [
  kernel('asks for r-x on the text', (guest) => guest.ask(TEXT, 'code')),
  kernel('asks for r-- on the read-only data', (guest) => guest.ask(RODATA, 'constant')),
  kernel('asks for rw- on the text', (guest) => guest.ask(TEXT, 'data')),
  kernel('asks for r-x on the data', (guest) => guest.ask(DATA, 'code')),
  kernel('maps the address of the text to the data', (guest) => guest.map('text', DATA, 'code')),
  kernel('maps the address of the read-only data to the data', (guest) => guest.map('rodata', DATA, 'data')),
  kernel('maps another address to the text', (guest) => guest.map('free', TEXT, 'code')),
  kernel('maps another address to the text, writable', (guest) => guest.map('free', TEXT, 'data')),
  kernel('has its tables lead through the read-only data', (guest) => guest.mapThroughRodata()),
  ...[0, 1].flatMap((cpu) => [
    processor(cpu, 'executes at the address of the text', (guest, vcpu) =>
      guest.reach(vcpu, 'executes', 'text'),
    ),
    processor(cpu, 'forgets what it cached', (guest, vcpu) => guest.forget(vcpu)),
  ]),
  processor(0, 'loads tables of its own', (guest, vcpu) => guest.loadTables(vcpu, true)),
  processor(0, "loads the kernel's tables", (guest, vcpu) => guest.loadTables(vcpu, false)),
  ...(['rodata', 'free'] as const).map((place) =>
    processor(0, `reads ${AT[place]}`, (guest, vcpu) => guest.reach(vcpu, 'reads', place)),
  ),
  processor(0, `executes ${AT.free}`, (guest, vcpu) => guest.reach(vcpu, 'executes', 'free')),
  processor(0, `stores ${AT.free}`, (guest, vcpu) => guest.store(vcpu, 'free')),
  processor(0, 'reads where the read-only data is its page table', (guest, vcpu) =>
    guest.readThroughRodata(vcpu),
  ),
];

/**
 * A kernel that protects its image, and an attacker in it who maps its addresses anew, loads tables of his own and has the processor walk through
 * what is protected. What stands against that is HLAT with paging-write and guest-paging verification (SDM 3A 4.5, 3C 29.3.3), if `backend` has it.
 * Every state is reached by telling its story to a new machine.
 */
export function hlatMachine(backend: ExploredBackend): Machine<HlatState, HlatAction> {
  const arrive = (story: readonly HlatAction[]): HlatState | undefined => {
    const guest = new HlatGuest(backend);
    for (const action of story) if (!guest.live(action.run)) return undefined;
    return { story, key: guest.key(), broken: [...guest.fallen] };
  };
  return {
    name: backend.name,
    properties: PROPERTIES,
    initial: () => arrive([]) ?? { story: [], key: '', broken: [] },
    successors({ story }, visit, line) {
      for (const action of ACTIONS) {
        if (line !== undefined && action.name !== line) continue;
        const next = arrive([...story, action]);
        if (next !== undefined) visit(action, next);
      }
    },
    key: ({ key, broken }) => `${key} ${broken.join()}`,
    broken: ({ broken }) => broken,
    describe: ({ name }) => name,
  };
}
