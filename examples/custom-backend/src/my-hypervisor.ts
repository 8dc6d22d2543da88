// A hypervisor of one's own: EPT with mode-based execute control, the VMM owns the policy, what is denied is #GP(0).
import { createEpt, createEptEditor, EptLow, EptQualification, encodeEptp, eptLeaf } from '@heki/ept';
import {
  type Capabilities,
  type GuestMemoryRegion,
  grantableRights,
  type Hypervisor,
  HypervisorError,
  type HypervisorEvent,
  type MemoryAccess,
  type ProtectionRange,
  type Refusal,
  type Rights,
  sameRights,
  type VirtualMachine,
} from '@heki/hypervisor';
import { frameOf, type Gfn, type Pfn, writeBytes } from '@heki/physical-memory';
import { createVcpu, type ExitAction, type Vcpu, Vector, type VmExit } from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';

// [capabilities]
const ALL: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };

const capabilities: Capabilities = {
  policyOwner: 'vmm',
  executeSplit: 'full',
  executeOnly: true,
  readDenial: true,
  immutability: { kind: 'none' },
  unrequested: ALL,
  granule: 4096,
  largePages: 'split-by-backend',
  pins: { cr0: 0n, cr4: 1n << 20n, registers: [], semantics: 'set-bits-stay-set' },
  bypasses: ['dma', 'vmm', 'hypervisor-writes'],
  inForce: 'on-return',
  failure: 'all-or-nothing',
  denialsDecidedBy: 'hypervisor',
  verdicts: ['general-protection'],
  lifeCycle: { reset: 'clear', kexec: 'keep' },
  saveRestore: false,
};
// [/capabilities]

const DENIED: ExitAction = { kind: 'inject', exception: { vector: Vector.GP, errorCode: 0 } };

function eptBits({ read, write, supervisorExecute, userExecute }: Rights): number {
  const { R, W, X, XU } = EptLow;
  return (read ? R : 0) | (write ? W : 0) | (supervisorExecute ? X : 0) | (userExecute ? XU : 0);
}

export const myHypervisor: Hypervisor<VirtualMachine, HypervisorEvent> = {
  name: 'mine',
  capabilities,
  processor: INTEL_VT_RP,
  describe: ({ type }) => type,
  createVirtualMachine({ host, onEvent }) {
    const { memory, frames } = host;
    const editor = createEptEditor({ memory, frames });
    const regions: GuestMemoryRegion[] = [];
    const vcpus: Vcpu[] = [];
    // What was asked for, the latest last.
    let asked: ProtectionRange[] = [];
    let pinned = 0n;

    const regionOf = (gfn: Gfn) => regions.find(({ start, frames }) => gfn >= start && gfn < start + frames);

    // [memory]
    /** Writes the leaves of `start` .. `end` - 1: all of them with the same rights. */
    function map(start: Gfn, end: Gfn, rights: Rights): void {
      const bits = eptBits(rights);
      for (const region of regions) {
        const from = Math.max(start, region.start) as Gfn;
        const to = Math.min(end, region.start + region.frames) as Gfn;
        if (from >= to) continue;
        if (bits === 0) editor.unmap(from, to);
        else editor.map(from, to, (region.backing + from - region.start) as Pfn, eptLeaf({ rights: bits }));
      }
      for (const vcpu of vcpus) vcpu.invept();
    }

    function whyNot({ start, end, immutable }: ProtectionRange): Refusal | undefined {
      if (end <= start) return 'empty';
      if (immutable === true) return 'unsupported';
      return regionOf(start) && regionOf((end - 1) as Gfn) ? undefined : 'not-memory';
    }
    // [/memory]

    // [exits]
    function onMemory(vcpu: Vcpu, exit: Extract<VmExit, { reason: 'ept-violation' }>): ExitAction {
      const { gpa, gla, qualification } = exit;
      // No memory there: a device that reads as ones.
      if (regionOf(frameOf(gpa)) === undefined) return { kind: 'skip', value: (1n << 64n) - 1n };
      const { WRITE, FETCH } = EptQualification;
      const fetch: MemoryAccess = vcpu.registers.cpl === 3 ? 'user-execute' : 'supervisor-execute';
      const access = (qualification & FETCH) !== 0 ? fetch : (qualification & WRITE) !== 0 ? 'write' : 'read';
      const denial = { kind: 'memory', gpa, linear: gla, access } as const;
      onEvent?.({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'general-protection' });
      return DENIED;
    }

    function onCr4(vcpu: Vcpu, value: bigint): ExitAction {
      const old = vcpu.registers.cr4;
      // A processor that took INIT has its pinned bits clear, and may start.
      if ((old & pinned & ~value) !== 0n) {
        const denial = { kind: 'register', register: 'cr4', old, value } as const;
        onEvent?.({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'general-protection' });
        return DENIED;
      }
      const exception = vcpu.emulateMovToCr(4, value);
      watch(vcpu);
      return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
    }

    function onExit(vcpu: Vcpu, exit: VmExit): ExitAction {
      if (exit.reason === 'ept-violation') return onMemory(vcpu, exit);
      if (exit.reason === 'mov-to-cr') return onCr4(vcpu, exit.value);
      if (exit.reason !== 'hypercall') return { kind: 'stop', why: exit.reason };
      // Guests can ask for nothing.
      return { kind: 'inject', exception: { vector: Vector.UD, errorCode: 0 } };
    }

    /** A write that changes a pinned bit exits; the guest reads what it has. */
    function watch({ controls, registers }: Vcpu): void {
      controls.cr4Mask = pinned;
      controls.cr4Shadow = registers.cr4;
    }
    // [/exits]

    return {
      vcpus,
      addMemory(region) {
        if (regionOf(region.start) !== undefined) throw new HypervisorError('overlapping memory');
        regions.push(region);
        const end = (region.start + region.frames) as Gfn;
        map(region.start, end, ALL);
        for (const range of asked) {
          if (range.start < end && range.end > region.start) map(range.start, range.end, range.rights);
        }
      },
      removeMemory(start) {
        const index = regions.findIndex((region) => region.start === start);
        const [region] = index < 0 ? [] : regions.splice(index, 1);
        if (region === undefined) throw new HypervisorError(`no memory starts at ${start}`);
        editor.unmap(start, (start + region.frames) as Gfn);
        for (const vcpu of vcpus) vcpu.invept();
      },
      createVcpu(setup = {}) {
        const secondLevel = createEpt({
          memory,
          eptp: encodeEptp({ root: editor.root }),
          controls: { modeBasedExecute: true },
        });
        const id = vcpus.length;
        const vcpu = createVcpu({ ...setup, id, memory, profile: INTEL_VT_RP, secondLevel, onExit });
        vcpus.push(vcpu);
        watch(vcpu);
        return vcpu;
      },
      effectiveRights(gfn) {
        if (regionOf(gfn) === undefined) return undefined;
        const leaf = editor.leaf(gfn);
        const bits = leaf === undefined ? 0 : leaf.entry.low;
        return {
          read: (bits & EptLow.R) !== 0,
          write: (bits & EptLow.W) !== 0,
          supervisorExecute: (bits & EptLow.X) !== 0,
          userExecute: (bits & EptLow.XU) !== 0,
          present: leaf !== undefined,
        };
      },
      flush() {},
      protect(ranges) {
        const at = ranges.findIndex((range) => whyNot(range) !== undefined);
        const why = ranges[at] && whyNot(ranges[at]);
        if (why !== undefined) return { applied: 0, weakened: [], refused: { at, why } };
        const taken = ranges.map((range) => ({
          range,
          granted: grantableRights(capabilities, range.rights),
        }));
        for (const { range, granted } of taken) {
          asked.push({ ...range, rights: granted });
          map(range.start, range.end, granted);
        }
        const weakened = taken.filter(({ range, granted }) => !sameRights(range.rights, granted));
        const result = { applied: ranges.length, weakened };
        onEvent?.({ type: 'protected', by: 'vmm', result });
        return result;
      },
      pin({ cr0 = 0n, cr4 = 0n, registers = [] }) {
        pinned |= cr4 & capabilities.pins.cr4;
        for (const vcpu of vcpus) watch(vcpu);
        const dropped = { cr0, cr4: cr4 & ~capabilities.pins.cr4, registers };
        const result = { cr0: 0n, cr4: pinned, dropped };
        onEvent?.({ type: 'pinned', by: 'vmm', result });
        return result;
      },
      write(_writer, gpa, bytes) {
        const region = regionOf(frameOf(gpa));
        if (region === undefined) return { ok: false, why: 'not-memory', at: gpa };
        const base = (region.backing - region.start) * 4096;
        writeBytes(memory, (gpa + base) as unknown as Parameters<typeof writeBytes<Pfn>>[1], bytes);
        return { ok: true };
      },
      lifeCycle(event) {
        if (event.kind === 'kexec') return;
        if (event.kind === 'reset') {
          asked = [];
          pinned = 0n;
          for (const { start, frames } of regions) map(start, (start + frames) as Gfn, ALL);
        }
        for (const vcpu of event.kind === 'reset' ? vcpus : vcpus.slice(event.vcpu, event.vcpu + 1)) {
          vcpu[event.kind]();
          watch(vcpu);
        }
      },
      save: () => undefined,
      restore: () => false,
    };
  },
};
