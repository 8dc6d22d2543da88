import { type AuthorityDefectId, authorityDefects } from '@heki/code-authority';
import {
  ABSTRACT_POLICIES,
  abstractMachine,
  authorityMachine,
  type BackendMachineOptions,
  backendMachine,
  guestMachine,
  lvbsMachine,
  replay,
  type SearchResult,
  search,
} from '@heki/explore';
import { guestDefects } from '@heki/guest';
import { createHyperv, type LvbsDefectId, lvbsDefects } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, type KvmOptions, kvmDefects } from '@heki/kvm';
import type { HekiDriver } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import type { Profile } from '@heki/series';
import { AMD_ZEN4 } from '@heki/x86';
import { createXen } from '@heki/xen';
import { markdownTable, type Page, textBlock } from './page.ts';

export const explorePage: Page = {
  file: 'docs/explore.md',
  parts: {
    abstract,
    story,
    backends,
    defects,
    unnamed,
    guest,
    authority,
    unnamedAuthority: authorityUnnamed,
    lvbs,
  },
};

/** Most transitions that a generated table may cost: larger spaces are searched by hand. */
const CLOSED_HERE = (name: string): boolean =>
  name !== 'abstract-no-flush' && name !== 'abstract-check-then-grant';

const fellAt = ({ counterexamples }: SearchResult<unknown>, id: string): string => {
  const found = counterexamples.find(({ property }) => property === id);
  return found === undefined ? '' : `**${found.actions.length}**`;
};

function abstract(): string {
  const rows = ABSTRACT_POLICIES.map((policy) => {
    const machine = abstractMachine(policy);
    const closes = CLOSED_HERE(policy.name);
    const result = search(machine, closes ? {} : { properties: ['P6', 'P7'] });
    // States in which another property fell were not followed: what did not fall is looked for alone.
    const fell = (id: string): string => {
      if (fellAt(result, id) !== '') return fellAt(result, id);
      return fellAt(result.end === 'closed' ? result : search(machine, { properties: [id] }), id) || 'holds';
    };
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

const AUTHORITY_DEFECTS = Object.keys(authorityDefects) as AuthorityDefectId[];
const atFirst = ({ fallen }: { readonly fallen: number }): boolean => fallen > 0;
const numbered = (lines: readonly string[]): string =>
  lines.map((line, index) => `${index + 1}. ${line}`).join('; ');

/** Each weaker owner alone, until something falls; without any, as deep as a page that is made at every change affords. */
function authority(): string {
  const rows = [undefined, ...AUTHORITY_DEFECTS].map((id) => {
    const machine = authorityMachine(...(id === undefined ? [] : [id]));
    const result = search(machine, id === undefined ? { depth: 3 } : { stop: atFirst });
    const [found] = result.counterexamples;
    return [
      id ?? 'none',
      id === undefined ? '' : authorityDefects[id].title,
      found === undefined ? '' : `${found.property} in ${found.actions.length}`,
      result.states.toLocaleString('en'),
      found === undefined
        ? `nothing falls, ${result.depth} actions deep`
        : numbered(found.actions.map((action) => machine.describe(action))),
    ];
  });
  return markdownTable(['variant', 'what is weaker', 'breaks', 'states', 'shortest story'], rows);
}

/** An owner with all weaknesses at once. What the first story needs is mended, and the search begins again. */
function authorityUnnamed(): string {
  let on: readonly AuthorityDefectId[] = AUTHORITY_DEFECTS;
  const rows: string[][] = [];
  while (on.length > 0) {
    const machine = authorityMachine(...on);
    const { counterexamples, states } = search(machine, { stop: atFirst, depth: 4 });
    const [found] = counterexamples;
    if (found === undefined) break;
    const story = found.actions.map((action) => machine.describe(action));
    const breaks = (ids: readonly AuthorityDefectId[]): boolean => {
      const { broken, steps } = replay(authorityMachine(...ids), story);
      return steps === story.length && broken.includes(found.property);
    };
    const causes = on.reduce<readonly AuthorityDefectId[]>((left, id) => {
      const fewer = left.filter((other) => other !== id);
      return breaks(fewer) ? fewer : left;
    }, on);
    rows.push([
      String(rows.length + 1),
      numbered(story),
      found.property,
      states.toLocaleString('en'),
      causes.join(', '),
    ]);
    on = on.filter((id) => !causes.includes(id));
  }
  return markdownTable(['round', 'shortest story', 'breaks', 'states', 'which is'], rows);
}

function lvbs(): string {
  const holes = [undefined, ...(Object.keys(lvbsDefects) as LvbsDefectId[])];
  const rows = holes.map((id) => {
    const machine = lvbsMachine('lvbs', () =>
      createHyperv({ defects: id === undefined ? {} : { [id]: true } }),
    );
    const result = search(machine, { depth: 2, stop: ({ fallen }) => fallen > 0 });
    const [found] = result.counterexamples;
    const story = found?.actions.map(({ name }, index) => `${index + 1}. ${name}`).join('; ');
    return [
      id === undefined ? 'none' : `[${id}](defects.md#${id.toLowerCase()})`,
      id === undefined ? '' : lvbsDefects[id].title,
      found?.property ?? '',
      story ?? `nothing falls in ${result.states} states, ${result.depth} steps deep`,
    ];
  });
  return markdownTable(['hole', 'what it is', 'breaks', 'shortest story'], rows);
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

/** Why a defect of the guest's core is not met on one of a few pages. */
const NOT_OF_A_FEW_PAGES: Readonly<Record<string, string>> = {
  'B-G7': 'a kernel that takes away what it never had, or maps a page 2^32 times',
  'B-G14': 'a processor that changes tables during a walk',
  'B-G20': 'a kernel built with KASLR',
};

function guest(): string {
  const rows = [undefined, ...Object.keys(guestDefects)].map((id) => {
    const needs = NOT_OF_A_FEW_PAGES[id ?? ''];
    if (id !== undefined && needs !== undefined) return [linkTo(id), '', '', `needs ${needs}`];
    const { counterexamples, states } = search(guestMachine(id === undefined ? {} : { [id]: true }), {
      depth: 2,
    });
    const [found] = counterexamples;
    const lines = found?.actions.map(({ name }, index) => `${index + 1}. ${name}`) ?? ['nothing falls'];
    const broken = counterexamples.map(({ property, actions }) => `${property} in ${actions.length}`);
    return [
      id === undefined ? 'none' : linkTo(id),
      broken.join(', '),
      String(states),
      lines.join('; ') || 'the kernel has not begun',
    ];
  });
  return markdownTable(['defect', 'breaks', 'states', 'shortest story'], rows);
}

/** What a defect needs that the guest of the search does not have. */
const OUT_OF_REACH: Readonly<Record<string, string>> = {
  'B-H11': 'private memory',
  'B-H15': "the hypervisor's emulator",
  'B-H19': "a reader of the host's log",
  'B-NESTED': 'a guest inside the guest',
};

/** What a machine must be for its defect to matter. */
const MACHINES: { readonly [id in DefectId]?: readonly [options: KvmOptions, what: string] } = {
  'B-H16': [{ nxHugePages: true }, 'a host with the workaround for iTLB multihit'],
  'B-H17': [{ processor: AMD_ZEN4 }, 'a processor of AMD'],
  'B-H20': [{ hostCr4: 0n }, 'a host that runs without SMEP'],
};

type DefectId = keyof typeof kvmDefects;
const KVM_DEFECTS = Object.keys(kvmDefects) as DefectId[];
const linkTo = (id: string): string => `[${id}](defects.md#${id.toLowerCase()})`;

/** Who acts, and what holds then without any defect. The VMM and devices store where they like, which is no defect of KVM's (P12). */
type Actors = 'guest' | 'guest and VMM';

/** KVM with these defects, and properties that hold without any: whoever asks may execute (P6), and map what he likes (P7). */
function defective(on: readonly DefectId[], actors: Actors, options: KvmOptions = {}) {
  const defects = Object.fromEntries(KVM_DEFECTS.map((id) => [id, on.includes(id)]));
  const machine = backendMachine(
    {
      name: 'kvm',
      create: () => createKvm({ ...options, defects }),
      driver: initHekiOnKvm,
      profile: 'hardened',
    },
    { pageLists: true, without: actors === 'guest' ? ['vmm', 'device'] : ['device'] },
  );
  const left = ['P6', 'P7', ...(actors === 'guest' ? [] : ['P12'])];
  return { machine, properties: machine.properties.flatMap(({ id }) => (left.includes(id) ? [] : [id])) };
}

function defects(): string {
  const rows = KVM_DEFECTS.map((id) => {
    const needs = OUT_OF_REACH[id];
    if (needs !== undefined) return [linkTo(id), '', '', `needs ${needs}`];
    const bySlots = id === 'B-H10' || id === 'B-ALIAS';
    const [options, what] = MACHINES[id] ?? [];
    const { machine, properties } = defective([id], bySlots ? 'guest and VMM' : 'guest', options);
    const { counterexamples, states } = search(machine, { depth: 2, properties });
    const [found] = counterexamples;
    const story = found?.actions.map(({ name }, index) => `${index + 1}. ${name}`).join('; ');
    const broken = counterexamples.map(({ property, actions }) => `${property} in ${actions.length}`);
    const on = what === undefined ? '' : ` (on ${what})`;
    return [`${linkTo(id)}${on}`, broken.join(', '), String(states), story ?? 'nothing falls'];
  });
  return markdownTable(['defect', 'breaks', 'states', 'shortest story'], rows);
}

/**
 * All defects at once. Of the first story that breaks something, the cause is the least that still breaks it; that is mended, and the search
 * begins again.
 */
function unnamed(): string {
  let on: readonly DefectId[] = KVM_DEFECTS;
  const rows: string[][] = [];
  for (const actors of ['guest', 'guest and VMM'] as const) {
    for (;;) {
      const { machine, properties } = defective(on, actors);
      const stop = ({ fallen }: { readonly fallen: number }): boolean => fallen > 0;
      const { counterexamples, states } = search(machine, { depth: 2, properties, stop });
      const [found] = counterexamples;
      if (found === undefined) {
        rows.push([String(rows.length + 1), actors, `nothing falls in ${states} states`, '', '']);
        break;
      }
      const story = found.actions.map(({ name }) => name);
      const breaks = (ids: readonly DefectId[]): boolean =>
        replay(defective(ids, actors).machine, story).broken.includes(found.property);
      const causes = on.reduce<readonly DefectId[]>((left, id) => {
        const fewer = left.filter((other) => other !== id);
        return breaks(fewer) ? fewer : left;
      }, on);
      const lines = story.map((name, index) => `${index + 1}. ${name}`).join('; ');
      rows.push([String(rows.length + 1), actors, lines, found.property, causes.map(linkTo).join(', ')]);
      on = on.filter((id) => !causes.includes(id));
    }
  }
  return markdownTable(['round', 'who acts', 'shortest story', 'breaks', 'which is'], rows);
}
