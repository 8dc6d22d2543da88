import { createHyperv } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import { createXen } from '@heki/xen';
import { type Contender, compare } from '@heki-internal/bench';
import { abstractMachine } from '../abstract/abstract-machine.ts';
import { ABSTRACT_POLICIES } from '../abstract/policy.ts';
import { search } from '../search.ts';
import { backendMachine } from './backend-machine.ts';

const kvm = (retold: boolean) =>
  backendMachine(
    { name: 'kvm', create: () => createKvm({}), driver: initHekiOnKvm, profile: 'hardened' },
    { pageLists: true, retold },
  );
const hyperv = () =>
  backendMachine({
    name: 'hyperv',
    create: () => createHyperv({ trusted: {} }),
    driver: initHekiOnHyperv,
    profile: 'hardened',
  });
const xen = () =>
  backendMachine({
    name: 'xen',
    create: () => createXen({}),
    driver: initHekiOnXen,
    profile: 'hardened',
  });

/** All that can happen after so many states; how often something did. */
function look(machine: ReturnType<typeof kvm>, states: number): number {
  return search(machine, { states }).transitions;
}

/** A search of so many states, by how many actions are applied in it. */
function contender(name: string, make: () => ReturnType<typeof kvm>, states: number): Contender {
  return { name, run: () => look(make(), states), work: { count: look(make(), states), of: 'actions' } };
}

await compare({
  title: 'a search of a backend',
  time: 1000,
  contenders: [
    contender('KVM, re-executed', () => kvm(true), 400),
    contender('KVM, brought back', () => kvm(false), 400),
    contender('KVM, brought back, 4,000 states', () => kvm(false), 4000),
    contender('Xen, 4,000 states', xen, 4000),
    contender('Hyper-V, 4,000 states', hyperv, 4000),
  ],
});

const machine = abstractMachine(
  ABSTRACT_POLICIES[6] ?? (ABSTRACT_POLICIES[0] as (typeof ABSTRACT_POLICIES)[0]),
);
const { transitions } = search(machine);
await compare({
  title: 'an abstract machine',
  contenders: [
    { name: 'to its end', run: () => search(machine), work: { count: transitions, of: 'actions' } },
  ],
});
