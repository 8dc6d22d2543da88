import type {
  BackendEvent,
  Capabilities,
  Denial,
  GuestMemoryRegion,
  Hypervisor,
  ProtectionRange,
  Verdict,
  VirtualMachine,
} from '@heki/hypervisor';
import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import {
  createVcpu,
  type ExitAction,
  type SecondLevelFault,
  type Vcpu,
  Vector,
  type VmExit,
} from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';

/** What the tests need besides the contract: the regions that were added. */
export interface TinyMachine extends VirtualMachine {
  readonly regions: readonly GuestMemoryRegion[];
}

const { READ, READ_PAGING_STRUCTURE, WRITE, WRITE_PAGING_STRUCTURE } = SecondLevelRights;
const READ_RIGHTS = READ | READ_PAGING_STRUCTURE;
const WRITE_RIGHTS = WRITE | WRITE_PAGING_STRUCTURE;
const FETCH_RIGHTS =
  SecondLevelRights.FETCH_SUPERVISOR |
  SecondLevelRights.FETCH_SUPERVISOR_FROM_USER_PAGE |
  SecondLevelRights.FETCH_USER;

const CAPABILITIES: Capabilities = {
  policyOwner: 'vmm',
  executeSplit: 'none',
  executeOnly: false,
  readDenial: false,
  immutability: { kind: 'none' },
  unrequested: { read: true, write: true, supervisorExecute: true, userExecute: true },
  granule: 4096,
  largePages: 'split-by-backend',
  pins: { cr0: 0n, cr4: (1n << 64n) - 1n, registers: [], semantics: 'set-bits-stay-set' },
  bypasses: [],
  inForce: 'on-return',
  failure: 'all-or-nothing',
  denialsDecidedBy: 'hypervisor',
  verdicts: ['page-fault', 'general-protection'],
  lifeCycle: { reset: 'keep', kexec: 'keep' },
  saveRestore: false,
};

/** A hypervisor with rights in a list, asked by its owner alone: enough to be attacked. */
export function tinyHypervisor(): Hypervisor<TinyMachine, BackendEvent> {
  return {
    name: 'tiny',
    capabilities: CAPABILITIES,
    processor: INTEL_VT_RP,
    describe: ({ type }) => type,
    createVirtualMachine: ({ host, onEvent }) => {
      const regions: GuestMemoryRegion[] = [];
      const rights: ProtectionRange[] = [];
      const vcpus: Vcpu[] = [];
      let pinned = 0n;

      const rightsOf = (gfn: Gfn) => rights.findLast(({ start, end }) => gfn >= start && gfn < end)?.rights;
      let fault: SecondLevelFault | undefined;
      let cached = 0;
      const secondLevel: SecondLevel<SecondLevelFault> = {
        get fault() {
          return fault;
        },
        get rights() {
          return cached;
        },
        level: 1,
        translate(gfn, offset, access) {
          const region = regions.find(({ start, frames }) => gfn >= start && gfn < start + frames);
          const allowed = rightsOf(gfn);
          const denied =
            region === undefined ||
            (allowed?.write === false && (access & SecondLevelAccess.WRITE) !== 0) ||
            (allowed?.supervisorExecute === false && (access & SecondLevelAccess.FETCH) !== 0);
          if (!denied) {
            cached =
              READ_RIGHTS |
              (allowed?.write === false ? 0 : WRITE_RIGHTS) |
              (allowed?.supervisorExecute === false ? 0 : FETCH_RIGHTS);
            return (region.backing + gfn - region.start) as Pfn;
          }
          fault = {
            kind: 'ept-violation',
            qualification: (access & 7) | 0x188,
            gpa: (gfn * 4096 + offset) as Gpa,
          };
          return REFUSED;
        },
      };
      const denied = (denial: Denial, verdict: Verdict): void =>
        onEvent?.({ type: 'denied', vcpu: 0, denial, verdict });
      const onExit = (vcpu: Vcpu, exit: VmExit): ExitAction => {
        if (exit.reason === 'ept-violation') {
          const write = (exit.qualification & 2) !== 0;
          const errorCode = write ? 0x3 : 0x11;
          const { gla, gpa } = exit;
          const access = write ? 'write' : 'supervisor-execute';
          denied({ kind: 'memory', gpa, linear: gla, access }, 'page-fault');
          return {
            kind: 'inject',
            exception: { vector: Vector.PF, errorCode, cr2: gla },
          };
        }
        if (exit.reason === 'mov-to-cr') {
          if ((exit.value & pinned) !== pinned) {
            const { cr4: old } = vcpu.registers;
            denied({ kind: 'register', register: 'cr4', old, value: exit.value }, 'general-protection');
            return { kind: 'inject', exception: { vector: Vector.GP, errorCode: 0 } };
          }
          return { kind: 'stop', why: 'nothing else exits here' };
        }
        return { kind: 'stop', why: exit.reason };
      };

      return {
        regions,
        vcpus,
        addMemory: (region) => {
          regions.push(region);
        },
        removeMemory() {},
        createVcpu(setup = {}) {
          const vcpu = createVcpu({
            ...setup,
            id: vcpus.length,
            memory: host.memory,
            processor: INTEL_VT_RP,
            secondLevel,
            onExit,
          });
          vcpus.push(vcpu);
          return vcpu;
        },
        effectiveRights: () => undefined,
        flush() {},
        protect(ranges) {
          rights.push(...ranges);
          for (const vcpu of vcpus) vcpu.invept();
          onEvent?.({ type: 'rights' });
          return { applied: ranges.length, weakened: [] };
        },
        pin({ cr4 = 0n }) {
          pinned |= cr4;
          for (const { controls, registers } of vcpus) {
            controls.cr4Mask = pinned;
            controls.cr4Shadow = registers.cr4;
          }
          return { cr0: 0n, cr4: pinned, dropped: { cr0: 0n, cr4: 0n } };
        },
        write: () => ({ ok: true }),
        lifeCycle() {},
        save: () => undefined,
        restore: () => false,
      };
    },
  };
}
