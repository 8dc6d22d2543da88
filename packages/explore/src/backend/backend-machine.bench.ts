import { createKvm } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { compare } from '@heki-internal/bench';
import { abstractMachine } from '../abstract/abstract-machine.ts';
import { ABSTRACT_POLICIES } from '../abstract/policy.ts';
import { search } from '../search.ts';
import { backendMachine } from './backend-machine.ts';

const kvm = (retold: boolean) =>
  backendMachine(
    { name: 'kvm', create: () => createKvm({}), driver: initHekiOnKvm, profile: 'hardened' },
    { pageLists: true, retold },
  );

/** All that can happen after the first few actions; how many actions were applied. */
function look(retold: boolean): number {
  return search(kvm(retold), { states: 400 }).transitions;
}

const count = look(false);
await compare({
  title: 'a search on KVM',
  time: 1000,
  contenders: [
    { name: 're-executed', run: () => look(true), work: { count, of: 'actions' } },
    { name: 'brought back', run: () => look(false), work: { count, of: 'actions' } },
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
