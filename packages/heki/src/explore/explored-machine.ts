import { type AuthorityDefectId, authorityDefects } from '@heki/code-authority';
import {
  ABSTRACT_POLICIES,
  abstractMachine,
  authorityMachine,
  type Bounds,
  backendMachine,
  createExpander,
  type Expander,
  guestMachine,
  hlatMachine,
  interleavedMachine,
  lvbsMachine,
  type Machine,
  ownedBackendMachine,
  type Property,
  type Replayed,
  replay,
  type SearchResult,
  search,
  searchTogether,
  TINY_CODE,
  type TogetherOptions,
} from '@heki/explore';
import { scheduledKernel } from '@heki/explore/schedules';
import { guestDefects } from '@heki/guest';
import { createHyperv, lvbsDefects } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { isModulePath, machineSettings } from '@heki/machine';
import { initHekiOnKvm } from '@heki/paravirt';
import type { DefectChoices } from '@heki/series';
import { UsageError } from '../failure.ts';
import { findBackend } from '../find-backend.ts';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import { makesKvmHypercalls } from '../hypervisors.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { hypervisorOf } from '../specification.ts';
import { specificationOf } from '../specification-of-flags.ts';
import { HLAT_MACHINES } from './hlat-machines.ts';
import { INTERLEAVED, type Interleaved } from './interleaved-machines.ts';
import { SCHEDULED, type Scheduled } from './scheduled-machines.ts';

/** Who can be left out of a search. */
export const ACTORS = ['vmm', 'device', 'hypervisor', 'owner'] as const;
export type Actor = (typeof ACTORS)[number];

/** A machine of any kind, with its states and actions hidden. */
export interface ExploredMachine {
  readonly name: string;
  readonly title: string;
  /** Actions in a row unless the user says otherwise; `undefined`: the search comes to its end. */
  readonly depth: number | undefined;
  /** A request of the guest is one step: what can come between its parts is not looked at. */
  readonly requestsAreOneStep: boolean;
  readonly properties: readonly Property[];
  /** A state is a number, and made in less time than it takes to hand it to another thread. */
  readonly isAbstract?: true;
  /** What is counted are schedules of threads, each run to its end, and their steps. */
  readonly countsSchedules?: true;
  /** Searches it; stories are lines of text. */
  search(bounds: Bounds): SearchResult<string>;
  /** How several search it, who can be elsewhere. Absent: one alone does. */
  readonly together?: {
    search(options: TogetherOptions): Promise<SearchResult<string>>;
    /** One of them here. `properties` are the ids of those that are looked for. */
    expander(properties: readonly string[]): Expander;
  };
  /** Tells a story again, up to what cannot happen. */
  replay(story: readonly string[]): Replayed;
}

/** Actions in a row on a backend, and on an owner of code: some seconds. */
const DEPTH = 2;
const AUTHORITY_DEPTH = 3;
const AUTHORITY = 'authority';
/** The same behind KVM's hypercalls. */
const AUTHORITY_KVM = 'authority-kvm';

/** The secure kernel of LVBS, with or without its published holes. */
const LVBS = 'lvbs';
const LVBS_DEPTH = 3;
const LVBS_SCHEDULES = 'lvbs-schedules';

/** The Heki core in a kernel of a few pages, with or without its published defects. */
const GUEST = 'guest';
const GUEST_DEPTH = 2;

/** Actions in a row on a machine with addresses to protect. */
const HLAT_DEPTH = 3;

/** Steps in a row there. */
const INTERLEAVED_DEPTH = 3;

/** @throws {UsageError} for an unknown name, or what an abstract machine does not have */
export async function exploredMachine(
  name: string,
  flags: MachineFlags,
  without: readonly Actor[],
): Promise<ExploredMachine> {
  const policy = ABSTRACT_POLICIES.find((each) => each.name === name);
  if (policy !== undefined) {
    const given = Object.entries(flags).find(([, value]) => value !== undefined && value !== true);
    if (given !== undefined || without.length > 0) {
      throw new UsageError(
        `--machine ${name} with ${given === undefined ? '--without' : optionText(given)}: an abstract machine has neither profiles, defects nor processors of its own`,
      );
    }
    return {
      title: policy.title,
      depth: undefined,
      requestsAreOneStep: false,
      isAbstract: true,
      ...hidden(abstractMachine(policy)),
    };
  }
  if (name === AUTHORITY || name === AUTHORITY_KVM) return authority(name, flags, without);
  if (name === LVBS) return lvbs(flags, without);
  if (name === GUEST) return guest(flags, without);
  const scheduled = SCHEDULED.get(name);
  if (scheduled !== undefined) {
    const known = name === LVBS_SCHEDULES ? Object.keys(lvbsDefects) : [];
    return scheduledMachine(name, scheduled, flags.defect ?? {}, chosenDefects(name, flags, without, known));
  }
  if (HLAT_MACHINES.has(name)) return hlat(name, flags, without);
  const interleaved = INTERLEAVED.get(name);
  if (interleaved !== undefined) return interleavedOf(interleaved, flags, without, name);
  if (!isModulePath(name) && !HEKI_HYPERVISORS.some((known) => known === name)) {
    const names = [
      ...HEKI_HYPERVISORS,
      ...INTERLEAVED.keys(),
      ...HLAT_MACHINES.keys(),
      ...SCHEDULED.keys(),
      GUEST,
      AUTHORITY,
      AUTHORITY_KVM,
      LVBS,
      ...ABSTRACT_POLICIES.map((each) => each.name),
    ].join(', ');
    throw new UsageError(
      `--machine ${name || '""'}: expected one of ${names}, or the path of an ES module: ./mine.mjs`,
    );
  }
  const backend = await findBackend(name);
  const specification = specificationOf({ ...flags, hypervisor: name });
  const { driver, title } = backend;
  if (driver === undefined) throw new UsageError(`--machine ${name}: guests cannot ask it for anything`);
  const { profile } = machineSettings(specification);
  const create = () => hypervisorOf(backend, specification, {});
  create();
  const machine = backendMachine(
    { name, create, driver, profile },
    { pageLists: makesKvmHypercalls(backend), without },
  );
  return { title: `${title}, ${profile}`, depth: DEPTH, requestsAreOneStep: true, ...hidden(machine) };
}

/**
 * Those of the defects that are chosen, for a machine that has nothing else to choose.
 *
 * @throws {UsageError} for another option, or a defect that it does not have
 */
function chosenDefects(
  name: string,
  { defect = {}, ...flags }: MachineFlags,
  without: readonly Actor[],
  known: readonly string[],
): string[] {
  const given = Object.entries(flags).find(([, value]) => value !== undefined && value !== true);
  if (given !== undefined || without.length > 0)
    throw new UsageError(
      `--machine ${name} with ${given === undefined ? '--without' : optionText(given)}: it has only --defect`,
    );
  const unknown = Object.keys(defect).find((id) => !known.includes(id));
  if (unknown !== undefined)
    throw new UsageError(`--machine ${name} --defect ${unknown}: expected one of ${known.join(', ')}`);
  return Object.entries(defect).flatMap(([id, on]) => (on ? [id] : []));
}

/** The secure kernel of LVBS, with the holes that are chosen. */
function lvbs(flags: MachineFlags, without: readonly Actor[]): ExploredMachine {
  const holes = chosenDefects(LVBS, flags, without, Object.keys(lvbsDefects));
  const machine = lvbsMachine(LVBS, () => createHyperv({ defects: flags.defect ?? {} }));
  return {
    title: `the secure kernel of LVBS, ${holes.length === 0 ? 'with its holes closed' : `with ${holes.join(', ')}`}`,
    depth: LVBS_DEPTH,
    requestsAreOneStep: false,
    ...hidden(machine),
  };
}

/** The Heki core, with the defects that are chosen. */
function guest(flags: MachineFlags, without: readonly Actor[]): ExploredMachine {
  const chosen = chosenDefects(GUEST, flags, without, Object.keys(guestDefects));
  return {
    title: `the Heki core of a guest, ${chosen.length === 0 ? 'hardened' : `with ${chosen.join(', ')}`}`,
    depth: GUEST_DEPTH,
    requestsAreOneStep: true,
    ...hidden(guestMachine(flags.defect ?? {})),
  };
}

/** A booted kernel and other processors, by schedules; `chosen` are the defects among `defects` that are on. */
function scheduledMachine(
  name: string,
  { on, make }: Scheduled,
  defects: DefectChoices<string>,
  chosen: readonly string[],
): ExploredMachine {
  const kernel = scheduledKernel({ name, ...make(defects) });
  const weaker = chosen.length === 0 ? '' : ` with ${chosen.join(', ')}`;
  return {
    name,
    title: `a kernel on ${on}${weaker} that loads a module, and two more processors, by schedules`,
    depth: undefined,
    requestsAreOneStep: false,
    countsSchedules: true,
    properties: kernel.properties,
    search({ depth, states, properties, stop }) {
      if (depth !== undefined)
        throw new UsageError(`--depth ${depth} with --machine ${name}: each schedule is run to its end`);
      const { end, schedules, left, steps, longest, counterexamples } = kernel.explore({
        schedules: states,
        stop: (done) =>
          (properties !== undefined && done.fallen === properties.length) ||
          stop?.({ ...done, states: done.schedules, transitions: 0, depth: 0, frontier: 0 }) === true,
      });
      const isFallen = properties !== undefined && counterexamples.length === properties.length;
      return {
        end: isFallen ? 'fallen' : end === 'schedules' ? 'states' : end,
        states: schedules + left,
        transitions: steps,
        depth: longest,
        frontier: 0,
        fallen: counterexamples.length,
        counterexamples,
      };
    },
    replay: (story) => kernel.replay(story),
  };
}

/** KVM with more or less of HLAT. */
function hlat(name: string, flags: MachineFlags, without: readonly Actor[]): ExploredMachine {
  chosenDefects(name, flags, without, []);
  const { hlat: chosen = false, title = '' } = HLAT_MACHINES.get(name) ?? {};
  const create = () => createKvm({ hlat: chosen });
  const machine = hlatMachine({ name, create, driver: initHekiOnKvm, profile: 'hardened' });
  return { title, depth: HLAT_DEPTH, requestsAreOneStep: true, ...hidden(machine) };
}

/** A hypervisor with requests as steps. */
async function interleavedOf(
  { hypervisor, races, but = '' }: Interleaved,
  flags: MachineFlags,
  without: readonly Actor[],
  name: string,
): Promise<ExploredMachine> {
  if (without.length > 0)
    throw new UsageError(`--without ${without[0]} with --machine ${name}: nobody can be left out there`);
  const backend = await findBackend(hypervisor);
  const { driver, title } = backend;
  const specification = specificationOf({ ...flags, hypervisor });
  const { profile } = machineSettings(specification);
  if (driver === undefined) throw new UsageError(`--machine ${name}: guests cannot ask it for anything`);
  const racing: typeof backend =
    races === undefined ? backend : { ...backend, create: (settings) => createKvm({ ...settings, races }) };
  const create = () => hypervisorOf(racing, specification, {});
  return {
    title: `${title}, ${profile}, with all that can come between the parts of a request or fault${but}`,
    depth: INTERLEAVED_DEPTH,
    requestsAreOneStep: false,
    ...hidden(interleavedMachine({ name, create, driver, profile })),
  };
}

/** As it was given: `--no-mbec` makes `mbec` false. */
function optionText([name, value]: readonly [string, unknown]): string {
  return value === false ? `--no-${name}` : `--${name}`;
}

/** The owner of code, alone or behind KVM's hypercalls, with the weaker variants that are chosen. */
async function authority(
  name: typeof AUTHORITY | typeof AUTHORITY_KVM,
  flags: MachineFlags,
  without: readonly Actor[],
): Promise<ExploredMachine> {
  const ids = Object.keys(authorityDefects) as AuthorityDefectId[];
  const chosen = chosenDefects(name, flags, without, ids);
  const weaker = ids.filter((id) => chosen.includes(id));
  const what =
    weaker.length === 0
      ? ', with nothing weaker'
      : `: ${weaker.map((id) => authorityDefects[id].title).join('; ')}`;
  const common = { depth: AUTHORITY_DEPTH, requestsAreOneStep: false };
  if (name === AUTHORITY)
    return { title: `an owner of code${what}`, ...common, ...hidden(authorityMachine(...weaker)) };
  const { driver } = await findBackend('kvm');
  if (driver === undefined) throw new UsageError(`--machine ${name}: guests cannot ask it for anything`);
  const create = () => createKvm({ authenticate: TINY_CODE, defects: flags.defect ?? {} });
  const machine = ownedBackendMachine({ name, create, driver, profile: 'hardened' }, ...weaker);
  return { title: `an owner of code on KVM's host side${what}`, ...common, ...hidden(machine) };
}

function hidden<State, Action>(
  machine: Machine<State, Action>,
): Pick<ExploredMachine, 'name' | 'properties' | 'search' | 'together' | 'replay'> {
  return {
    name: machine.name,
    properties: machine.properties,
    search(bounds) {
      const result = search(machine, bounds);
      const counterexamples = result.counterexamples.map(({ property, actions }) => ({
        property,
        actions: actions.map((action) => machine.describe(action)),
      }));
      return { ...result, counterexamples };
    },
    together: {
      search: (options) => searchTogether(machine, options),
      expander: (properties) => createExpander(machine, properties),
    },
    replay: (story) => replay(machine, story),
  };
}
