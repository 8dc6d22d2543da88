import {
  ABSTRACT_POLICIES,
  abstractMachine,
  type BackendMachineOptions,
  backendMachine,
  type SearchResult,
  search,
} from '@heki/explore';
import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, kvmDefects } from '@heki/kvm';
import type { HekiDriver } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import type { Profile } from '@heki/series';
import { createXen } from '@heki/xen';
import { markdownTable, type Page, textBlock } from './page.ts';

export const explorePage: Page = {
  file: 'docs/explore.md',
  parts: { abstract, story, backends, defects },
};

/** Most transitions that a generated table may cost: larger spaces are searched by hand. */
const CLOSED_HERE = (name: string): boolean => name !== 'abstract-no-flush';

const fellAt = ({ counterexamples }: SearchResult<unknown>, id: string): string => {
  const found = counterexamples.find(({ property }) => property === id);
  return found === undefined ? '' : `**${found.actions.length}**`;
};

function abstract(): string {
  const rows = ABSTRACT_POLICIES.map((policy) => {
    const machine = abstractMachine(policy);
    const closes = CLOSED_HERE(policy.name);
    const result = search(machine, closes ? {} : { properties: ['P6', 'P7'] });
    const fell = (id: string): string => fellAt(result, id) || 'holds';
    const size = closes ? result.states.toLocaleString('en') : 'ended when both had fallen';
    return [`\`${policy.name}\``, policy.title, size, fell('P6'), fell('P7')];
  });
  return markdownTable(['machine', 'what it is', 'states', 'P6', 'P7'], rows);
}

function story(): string {
  const policy = ABSTRACT_POLICIES.find(({ name }) => name === 'abstract-no-flush');
  if (policy === undefined) throw new Error('no policy abstract-no-flush');
  const machine = abstractMachine(policy);
  const [found] = search(machine, { properties: ['P6'] }).counterexamples;
  return textBlock(
    (found?.actions ?? []).map((action, index) => `${index + 1}. ${machine.describe(action)}`),
  );
}

type Create = () => Hypervisor<VirtualMachine, BackendEvent>;

function explored(
  create: Create,
  driver: HekiDriver,
  profile: Profile,
  options: BackendMachineOptions,
  properties?: readonly string[],
): SearchResult<unknown> & { readonly stories: ReadonlyMap<string, readonly string[]> } {
  const machine = backendMachine({ name: 'explored', create, driver, profile }, options);
  const result = search(machine, { depth: 2, properties });
  const stories = new Map(
    result.counterexamples.map(({ property, actions }) => [property, actions.map(({ name }) => name)]),
  );
  return { ...result, stories };
}

/** The properties that a machine can break, and what it says of those it declares. */
function backends(): string {
  const attacker: BackendMachineOptions = { pageLists: true, without: ['vmm', 'device', 'hypervisor'] };
  const all: BackendMachineOptions = { pageLists: true };
  const machines: readonly (readonly [string, Create, HekiDriver, Profile, BackendMachineOptions])[] = [
    ['KVM, rfc-v2', () => createKvm({ profile: 'rfc-v2' }), initHekiOnKvm, 'rfc-v2', attacker],
    ['KVM, hardened', () => createKvm({}), initHekiOnKvm, 'hardened', attacker],
    ['KVM, hardened, with VMM and devices', () => createKvm({}), initHekiOnKvm, 'hardened', all],
    [
      'Hyper-V',
      () => createHyperv({ trusted: {} }),
      initHekiOnHyperv,
      'hardened',
      { ...attacker, pageLists: false },
    ],
    ['Xen', () => createXen({}), initHekiOnXen, 'hardened', { ...attacker, pageLists: false }],
  ];
  const results = machines.map(([name, create, driver, profile, options]) => ({
    name,
    result: explored(create, driver, profile, options),
  }));
  const { properties } = backendMachine({
    name: '',
    create: () => createKvm({}),
    driver: initHekiOnKvm,
    profile: 'hardened',
  });
  return markdownTable(
    ['property', 'what holds', ...results.map(({ name }) => name)],
    [
      ...properties.map(({ id, says }) => [id, says, ...results.map(({ result }) => fellAt(result, id))]),
      ['', 'states in two actions', ...results.map(({ result }) => String(result.states))],
    ],
  );
}

function defects(): string {
  const options: BackendMachineOptions = { pageLists: true, without: ['vmm', 'device'] };
  const known = new Set(explored(() => createKvm({}), initHekiOnKvm, 'hardened', options).stories.keys());
  // The VMM's part is needed for what a slot forgets.
  const withVmm: BackendMachineOptions = { pageLists: true, without: ['device'] };
  const rows = Object.keys(kvmDefects).map((id) => {
    const create = () => createKvm({ defects: { [id]: true } });
    const alone = explored(create, initHekiOnKvm, 'hardened', options);
    const fresh = (
      stories: ReadonlyMap<string, readonly string[]>,
    ): [string, readonly string[]] | undefined => [...stories].find(([property]) => !known.has(property));
    const found =
      fresh(alone.stories) ??
      (id === 'B-H10'
        ? fresh(explored(create, initHekiOnKvm, 'hardened', withVmm, ['P2']).stories)
        : undefined);
    const link = `[${id}](defects.md#${id.toLowerCase()})`;
    return found === undefined
      ? [link, '', '']
      : [link, found[0], found[1].map((action, index) => `${index + 1}. ${action}`).join('; ')];
  });
  return markdownTable(['defect', 'breaks', 'shortest story'], rows);
}
