import { HLAT_MACHINES } from './hlat-machines.ts';
import { INTERLEAVED } from './interleaved-machines.ts';
import type { Explored } from './search-thread.ts';

/** JavaScript that makes a machine of the published packages. */
export interface MachineCode {
  /** Names, by the package that they are imported from. */
  readonly imports: Readonly<Record<string, readonly string[]>>;
  readonly expression: string;
}

/** How the hypervisor of that name is made of `settings`, and what drives it. */
const BACKENDS: Readonly<
  Record<
    string,
    { readonly from: string; readonly create: string; readonly made: string; readonly driver: string }
  >
> = {
  kvm: { from: '@heki/kvm', create: 'createKvm', made: 'settings', driver: 'initHekiOnKvm' },
  'kvm-vmm': { from: '@heki/kvm', create: 'createKvmVmm', made: 'settings', driver: 'initHekiOnKvm' },
  'kvm-vtl': { from: '@heki/kvm', create: 'createKvmVtl', made: 'settings', driver: 'initHekiOnKvm' },
  'kvm-planes': { from: '@heki/kvm', create: 'createKvmPlanes', made: 'settings', driver: 'initHekiOnKvm' },
  hyperv: {
    from: '@heki/hyperv',
    create: 'createHyperv',
    made: '{ ...settings, trusted: {} }',
    driver: 'initHekiOnHyperv',
  },
  'hyperv-lvbs': { from: '@heki/hyperv', create: 'createHyperv', made: 'settings', driver: 'initHekiOnLvbs' },
  xen: { from: '@heki/xen', create: 'createXen', made: 'settings', driver: 'initHekiOnXen' },
};

/** How to make a machine without this command; `undefined` for one with a hypervisor of the user's own. */
export function machineCode({ name, flags, without }: Explored): MachineCode | undefined {
  const defects = flags.defect ?? {};
  const explore = (made: string, ...more: readonly string[]) => ({
    '@heki/explore': [made, ...more, 'replay'],
  });
  if (name === 'guest')
    return { imports: explore('guestMachine'), expression: `guestMachine(${code(defects)})` };
  if (name === 'authority') {
    const weaker = Object.entries(defects).flatMap(([id, on]) => (on ? [code(id)] : []));
    return {
      imports: explore('authorityMachine'),
      expression: `authorityMachine(${weaker.join(', ')})`,
    };
  }
  if (name === 'lvbs') {
    return {
      imports: { ...explore('lvbsMachine'), '@heki/hyperv': ['createHyperv'] },
      expression: `lvbsMachine('lvbs', () => createHyperv({ defects: ${code(defects)} }))`,
    };
  }
  if (name.startsWith('abstract-')) {
    return {
      imports: explore('ABSTRACT_POLICIES', 'abstractMachine'),
      expression: `abstractMachine(ABSTRACT_POLICIES.find((policy) => policy.name === ${code(name)}))`,
    };
  }
  const withHlat = HLAT_MACHINES.get(name);
  if (withHlat !== undefined) {
    const create = `() => createKvm({ hlat: ${code(withHlat.hlat ?? false)} })`;
    return {
      imports: {
        ...explore('hlatMachine'),
        '@heki/kvm': ['createKvm'],
        '@heki/paravirt': ['initHekiOnKvm'],
      },
      expression: `hlatMachine({ name: ${code(name)}, create: ${create}, driver: initHekiOnKvm, profile: 'hardened' })`,
    };
  }
  const interleaved = INTERLEAVED.get(name);
  const backend = BACKENDS[interleaved?.hypervisor ?? name];
  if (backend === undefined) return undefined;
  const { profile = 'hardened', mbec, cpu } = flags;
  const { from, create, made, driver } = backend;
  const settings = `hypervisorSettings(${code({ profile, defects, mbec, cpu })}, {})`;
  const races = interleaved?.races;
  const all = races === undefined ? made : `{ ...${made}, races: ${code(races)} }`;
  const machine = `{
    name: ${code(name)},
    create: () => {
      const settings = ${settings};
      return ${create}(${all});
    },
    driver: ${driver},
    profile: ${code(profile)},
  }`;
  const options = code({ pageLists: driver === 'initHekiOnKvm', without });
  const [make, expression] =
    interleaved === undefined
      ? ['backendMachine', `backendMachine(\n  ${machine},\n  ${options},\n)`]
      : ['interleavedMachine', `interleavedMachine(${machine})`];
  return {
    imports: {
      ...explore(make),
      [from]: [create],
      '@heki/machine': ['hypervisorSettings'],
      '@heki/paravirt': [driver],
    },
    expression,
  };
}

function code(value: unknown): string {
  return JSON.stringify(value);
}
