import type { HekiHypervisor } from '@heki/guest';
import {
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_WRITE,
  PageListEntryWord,
  PageListHeaderWord,
  pageListEntryWord,
  wordsToNumber,
} from '@heki/hypercall/kvm';
import type { HekiDriver, LinuxMachine, MachineSpecification } from '@heki/machine';
import { frameOf, type Gpa } from '@heki/physical-memory';
import type { DriverChange } from './boot-machine.ts';

/** Something of a machine that can be taken out of it, to see whether it was what stopped an attack. */
export interface Switch {
  /** What is taken out. */
  readonly name: string;
  /** Whether the machine has it. */
  readonly applies: (machine: MachineSpecification) => boolean;
  /** The machine without it. */
  readonly without?: (machine: MachineSpecification) => MachineSpecification;
  /** The driver without it. */
  readonly driver?: DriverChange;
}

const hypervisorOf = ({ hypervisor = 'kvm' }: MachineSpecification): string => hypervisor;
const hasHeki = (machine: MachineSpecification): boolean => hypervisorOf(machine) !== 'none';
const isHardenedKvm = (machine: MachineSpecification): boolean =>
  hypervisorOf(machine) === 'kvm' && machine.profile !== 'rfc-v2';
const isLvbs = (machine: MachineSpecification): boolean => hypervisorOf(machine) === 'hyperv-lvbs';

const isAuthenticated = ({ authenticate }: MachineSpecification): boolean => authenticate === true;
/** Weaker owners of code, as `@heki/code-authority` lists them, that an attack here can tell apart. */
const WEAKER = [
  'B-A1',
  'B-A2',
  'B-A3',
  'B-A4',
  'B-A5',
  'B-A6',
  'B-A7',
  'B-A9',
  'B-A10',
  'B-A11',
  'B-A13',
  'B-A14',
] as const;

/** The driver, with another operation in the place of each of its own. */
function changed(
  change: (hypervisor: HekiHypervisor, machine: Pick<LinuxMachine, 'memory'>) => HekiHypervisor,
): DriverChange {
  return (driver, machine): HekiDriver =>
    (guest, options) => {
      const found = driver(guest, options);
      if (guest.hypervisor !== undefined) {
        // The machine is there by the time that anything is asked.
        const own = guest.hypervisor;
        let made: HekiHypervisor | undefined;
        const get = (): HekiHypervisor => {
          made ??= change(own, machine());
          return made;
        };
        guest.hypervisor = {
          lockCrs: () => get().lockCrs(),
          protectMemory: (list) => get().protectMemory(list),
          ...(own.codeAuthority && { codeAuthority: own.codeAuthority }),
          ...(own.secureKernel === undefined
            ? {}
            : {
                get secureKernel() {
                  return get().secureKernel;
                },
              }),
        } as HekiHypervisor;
      }
      return found;
    };
}

/** Page lists with other permissions in them: stored where the kernel has put them, before they are sent. */
const withPermissions = (edit: (permissions: number) => number): DriverChange =>
  changed((hypervisor, { memory }) => ({
    ...hypervisor,
    protectMemory(list) {
      for (let page: number = list, left = 4096; page !== 0 && left > 0; left--) {
        const words = memory.writablePage(frameOf(page as Gpa));
        if (words === undefined) break;
        const entries = Math.min(wordsToNumber(words, PageListHeaderWord.NPAGES), 169);
        for (let entry = 0; entry < entries; entry++) {
          const word = pageListEntryWord(entry) + PageListEntryWord.PERMISSIONS;
          words[word] = edit(words[word] ?? 0);
        }
        page = wordsToNumber(words, PageListHeaderWord.NEXT_PA);
      }
      return hypervisor.protectMemory(list);
    },
  }));

const defect =
  (...ids: readonly string[]) =>
  (machine: MachineSpecification): MachineSpecification => ({
    ...machine,
    defects: { ...machine.defects, ...Object.fromEntries(ids.map((id) => [id, true])) },
  });

const mended = (...ids: readonly string[]): Switch => ({
  name: `the mending of ${ids.join(' and ')}`,
  applies: isHardenedKvm,
  without: defect(...ids),
});

/** What can be taken out of machines, one after the other. The last ones take out everything. */
export const SWITCHES: readonly Switch[] = [
  {
    name: 'DMA remapping',
    applies: ({ iommu }) => iommu === true,
    without: (machine) => ({ ...machine, iommu: false }),
  },
  {
    name: 'HLAT',
    applies: ({ hlat }) => hlat === true,
    without: (machine) => ({ ...machine, hlat: false }),
  },
  mended('B-H12'),
  mended('B-ALIAS'),
  {
    name: 'immutable pages',
    applies: hasHeki,
    driver: withPermissions((permissions) => permissions & ~MEM_ATTR_IMMUTABLE),
  },
  {
    name: 'pins of registers',
    applies: hasHeki,
    driver: changed((hypervisor) => ({ ...hypervisor, lockCrs: () => 0 })),
  },
  {
    name: 'an owner of code',
    applies: isAuthenticated,
    without: (machine) => ({ ...machine, authenticate: false }),
  },
  ...WEAKER.map(
    (id): Switch => ({
      name: `what ${id} leaves out of an owner of code`,
      applies: isAuthenticated,
      without: defect(id),
    }),
  ),
  {
    name: 'the end of boot',
    applies: isLvbs,
    driver: changed((hypervisor) => ({
      ...hypervisor,
      ...(hypervisor.secureKernel === undefined
        ? {}
        : { secureKernel: { ...hypervisor.secureKernel, finishBoot: () => 0 } }),
    })),
  },
  {
    name: 'a secure kernel that knows code by its signature',
    applies: isLvbs,
    without: (machine) => ({ ...machine, hypervisor: 'hyperv', secureKernel: undefined }),
  },
  {
    name: 'the closed holes of the secure kernel (B-L1 to B-L6)',
    applies: (machine) => isLvbs(machine) && machine.secureKernel !== 'lvbs-2026-02',
    without: (machine) => ({ ...machine, secureKernel: 'lvbs-2026-02' }),
  },
  {
    name: 'no right to write in the second level',
    applies: hasHeki,
    driver: withPermissions((permissions) => permissions | MEM_ATTR_WRITE),
  },
  {
    name: 'no right to execute in the second level',
    applies: hasHeki,
    driver: withPermissions((permissions) => permissions | MEM_ATTR_EXEC),
  },
  mended('B-H7'),
  mended('B-H2', 'B-H3', 'B-H4', 'B-H5'),
  mended('B-H6'),
  mended('B-H18'),
  mended('B-H1', 'B-G4'),
  mended('B-G17'),
  mended('B-H10', 'B-H8'),
  {
    name: 'W^X of the guest’s own page tables',
    applies: () => true,
    without: (machine) => ({ ...machine, commandLine: 'rodata=off' }),
  },
  { name: 'all of Heki', applies: hasHeki, without: (machine) => ({ ...machine, commandLine: 'heki=0' }) },
  {
    name: 'all of Heki, and W^X of the guest’s own page tables',
    applies: hasHeki,
    without: (machine) => ({ ...machine, commandLine: 'heki=0 rodata=off' }),
  },
];
