import { type Gfn, type Gpa, type Pfn, type PhysicalMemory, writeBytes } from '@heki/physical-memory';
import { createVcpu, type Exception, type ExitAction, type Vcpu, Vector, type VmExit } from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';
import type { Capabilities } from '../../capabilities.ts';
import { badState, checkProtectionState, checkStateInteger } from '../../check-state.ts';
import type { Denial, MemoryAccess, Verdict } from '../../denial.ts';
import { HypervisorError } from '../../error.ts';
import type { HypervisorEvent } from '../../event.ts';
import type { Host } from '../../host.ts';
import { departedOf } from '../../host-frames.ts';
import type { ProtectionRange, Rights } from '../../rights.ts';
import type { ProtectionState } from '../../state.ts';
import type { OtherWriter, VirtualMachine, VirtualMachineOptions } from '../../virtual-machine.ts';
import { ReferenceCall, readRanges } from './reference-calls.ts';
import type { ReferenceMachine } from './reference-machine.ts';
import { createReferenceMemory, type ReferenceMemory, type ReferenceView } from './reference-memory.ts';
import { createReferencePins, type RegisterWrite } from './reference-pins.ts';
import { answerRequest, refused } from './reference-requests.ts';

const EVERYTHING: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };
const GENERAL_PROTECTION: Exception = { vector: Vector.GP, errorCode: 0 };
const BYPASS_OF = { dma: 'dma', vmm: 'vmm', hypervisor: 'hypervisor-writes' } as const;

/** How a reference machine behaves. */
export interface ReferenceOptions {
  /** What it keeps, whatever it declares. */
  readonly kept: Capabilities;
  /** What whoever decides answers; otherwise one verdict after the other. */
  readonly decided?: Verdict | undefined;
}

/** What a reference machine has beside the contract's state. */
interface ReferenceOwnState {
  readonly backend: 'reference';
  /** Denials so far: verdicts go round. */
  readonly denials: number;
  /** Virtual CPUs that run a guest of their own that nothing binds. */
  readonly nested: readonly number[];
}

/** A machine that does what it has to in the most obvious way: every access is looked up in a list, every request goes over all of it. */
export function createReferenceMachine(
  { kept, decided }: ReferenceOptions,
  { host, onEvent = () => {} }: VirtualMachineOptions<HypervisorEvent>,
): ReferenceMachine {
  const memory = createReferenceMemory(kept, EVERYTHING);
  const pins = createReferencePins(kept);
  const views = new Map<Vcpu, ReferenceView>();
  const vcpus: Vcpu[] = [];
  const guestMemory = memoryOf(host, memory);
  const owner = kept.policyOwner === 'guest-kernel' || kept.policyOwner === 'vmm' ? 'vmm' : 'policy-owner';
  let bootEnded = false;
  let denials = 0;

  const flush = (): void => {
    for (const vcpu of vcpus) vcpu.invept();
  };
  const changed = (): void => {
    if (kept.inForce === 'on-return') flush();
  };

  function request(ranges: readonly ProtectionRange[], by: 'guest' | 'owner') {
    const result =
      by === 'guest' && bootEnded ? refused(-1, 'not-permitted') : answerRequest(kept, memory, ranges, by);
    changed();
    onEvent({ type: 'protected', by: by === 'guest' ? 'guest' : owner, result });
    return result;
  }

  function replace(state: ProtectionState): void {
    const { immutability } = kept;
    const promised =
      immutability.kind === 'per-page' && immutability.undoneBy === 'none'
        ? memory.ranges().filter(({ immutable }) => immutable === true)
        : [];
    memory.hostFrames.replace(state.departed ?? []);
    memory.clear(state.otherwise);
    for (const range of [...state.ranges, ...promised]) memory.add(range);
    pins.replace(vcpus, state);
    bootEnded = state.bootEnded === true;
    changed();
  }

  function verdictOf({ kind }: Denial): Verdict {
    const { verdicts, denialsDecidedBy } = kept;
    const possible = kind === 'memory' ? verdicts : verdicts.filter((verdict) => verdict !== 'page-fault');
    if (denialsDecidedBy === 'hypervisor') {
      return (kind === 'memory' ? possible[0] : possible.at(-1)) ?? 'general-protection';
    }
    if (decided !== undefined) return possible.includes(decided) ? decided : 'general-protection';
    const usual = possible.filter((verdict) => verdict !== 'allow-once');
    return usual[denials++ % usual.length] ?? 'general-protection';
  }

  function deny(vcpu: Vcpu, denial: Denial, fault: Exception, once: () => ExitAction): ExitAction {
    const verdict = verdictOf(denial);
    onEvent({ type: 'denied', vcpu: vcpu.id, denial, verdict });
    switch (verdict) {
      case 'page-fault':
        return { kind: 'inject', exception: fault };
      case 'general-protection':
        return { kind: 'inject', exception: GENERAL_PROTECTION };
      case 'skip':
        return { kind: 'skip' };
      case 'stop':
        return { kind: 'stop', why: 'a denied access' };
      case 'allow-once':
        return once();
    }
  }

  function onMemory(vcpu: Vcpu, { gpa, gla, qualification }: Extract<VmExit, { reason: 'ept-violation' }>) {
    const gfn = Math.floor(gpa / 4096);
    if (memory.regionOf(gfn) === undefined) return { kind: 'skip', value: 2n ** 64n - 1n } as const;
    const [write, fetch, user] = [
      (qualification & 2) !== 0,
      (qualification & 4) !== 0,
      vcpu.registers.cpl === 3,
    ];
    const access: MemoryAccess = fetch
      ? user
        ? 'user-execute'
        : 'supervisor-execute'
      : write
        ? 'write'
        : 'read';
    const errorCode = 1 | (write ? 2 : 0) | (user ? 4 : 0) | (fetch ? 16 : 0);
    const fault = { vector: Vector.PF, errorCode, cr2: gla };
    return deny(vcpu, { kind: 'memory', gpa, linear: gla, access }, fault, () => {
      const view = views.get(vcpu);
      if (view !== undefined) view.once = gfn;
      return { kind: 'resume' };
    });
  }

  function onRegister(vcpu: Vcpu, write: RegisterWrite): ExitAction {
    const { name, old, value } = write;
    const perform = (): ExitAction => {
      const exception = write.perform();
      pins.watch(vcpu);
      return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
    };
    if (pins.allows(vcpu, write)) return perform();
    return deny(vcpu, { kind: 'register', register: name, old, value }, GENERAL_PROTECTION, perform);
  }

  function call({ registers }: Vcpu): boolean {
    const { rax, rbx, rcx, cpl } = registers;
    if (cpl !== 0) return false;
    switch (rax) {
      case ReferenceCall.PROTECT: {
        const ranges = readRanges(guestMemory, rbx, rcx);
        return ranges !== undefined && request(ranges, 'guest').refused === undefined;
      }
      case ReferenceCall.PIN: {
        const own = rbx === 0n ? registers.cr0 : rbx === 4n ? registers.cr4 : 0n;
        if (rcx === 0n || (rcx & ~own) !== 0n) return false;
        const result = pins.pin(vcpus, rbx === 0n ? { cr0: rcx } : { cr4: rcx });
        onEvent({ type: 'pinned', by: 'guest', result });
        return true;
      }
      case ReferenceCall.END_OF_BOOT:
        bootEnded = kept.immutability.kind === 'end-of-boot';
        return true;
      default:
        return false;
    }
  }

  function onExit(vcpu: Vcpu, exit: VmExit): ExitAction {
    if (exit.reason === 'ept-violation') return onMemory(vcpu, exit);
    const write = pins.writeOf(vcpu, exit);
    if (write !== undefined) return onRegister(vcpu, write);
    if (exit.reason !== 'hypercall') return { kind: 'stop', why: exit.reason };
    vcpu.registers.rax = call(vcpu) ? 0n : 1n;
    return { kind: 'skip' };
  }

  function store(
    gpa: Gpa,
    bytes: Uint8Array,
    { bound, fillsRom }: { readonly bound: boolean; readonly fillsRom: boolean },
  ): ReturnType<VirtualMachine['write']> {
    const last = Math.floor((gpa + bytes.length - 1) / 4096);
    for (let gfn = Math.floor(gpa / 4096); gfn <= last; gfn++) {
      const region = memory.regionOf(gfn);
      if (region === undefined) return { ok: false, why: 'not-memory', at: gpa };
      const readOnly = region.readOnly === true && !fillsRom;
      if (readOnly || (bound && !memory.rightsOf(gfn).write)) return { ok: false, why: 'denied', at: gpa };
    }
    writeBytes<Gfn>(guestMemory, gpa, bytes);
    return { ok: true };
  }

  function restart(vcpu: Vcpu, how: 'init' | 'reset'): void {
    vcpu[how]();
    pins.unbind(vcpu);
  }

  return {
    vcpus,
    hostFrames: memory.hostFrames,
    addMemory(region) {
      const end = region.start + region.frames;
      if (memory.regions.some(({ start, frames }) => region.start < start + frames && start < end)) {
        throw new HypervisorError(`memory from guest frame ${region.start} on overlaps other memory`);
      }
      memory.hostFrames.come(region);
      memory.regions.push(region);
      flush();
    },
    removeMemory(start) {
      const index = memory.regions.findIndex((region) => region.start === start);
      if (index < 0) throw new HypervisorError(`no memory starts at guest frame ${start}`);
      for (const region of memory.regions.splice(index, 1)) {
        memory.hostFrames.leave(region, memory.askedIn(region));
      }
      flush();
    },
    createVcpu(setup = {}) {
      const secondLevel = memory.view();
      const id = vcpus.length;
      const vcpu = createVcpu({
        ...setup,
        id,
        memory: host.memory,
        processor: INTEL_VT_RP,
        secondLevel,
        onExit,
      });
      vcpus.push(vcpu);
      views.set(vcpu, secondLevel);
      pins.watch(vcpu);
      return vcpu;
    },
    effectiveRights: (gfn) =>
      memory.regionOf(gfn) === undefined ? undefined : { ...memory.rightsOf(gfn), present: true },
    flush,
    protect: (ranges) => request(ranges, 'owner'),
    pin(wanted) {
      const result = pins.pin(vcpus, wanted);
      onEvent({ type: 'pinned', by: owner, result });
      return result;
    },
    write(writer: OtherWriter, gpa, bytes) {
      const bound = !kept.bypasses.includes(BYPASS_OF[writer]);
      return store(gpa, bytes, { bound, fillsRom: writer === 'vmm' });
    },
    lifeCycle(event) {
      if (event.kind === 'init') {
        for (const vcpu of vcpus.slice(event.vcpu, event.vcpu + 1)) restart(vcpu, 'init');
        return;
      }
      if (kept.lifeCycle[event.kind] === 'clear')
        replace({ ranges: [], otherwise: EVERYTHING, cr0: 0n, cr4: 0n });
      if (event.kind === 'reset') for (const vcpu of vcpus) restart(vcpu, 'reset');
    },
    save() {
      if (!kept.saveRestore) return undefined;
      if ([...views.values()].some(({ once }) => once !== undefined)) return undefined;
      const { cr0, cr4, registers } = pins;
      const own: ReferenceOwnState = {
        backend: 'reference',
        denials,
        nested: vcpus.flatMap((vcpu) => (views.get(vcpu)?.unbound === true ? [vcpu.id] : [])),
      };
      return {
        ranges: memory.ranges(),
        otherwise: memory.otherwise,
        cr0,
        cr4,
        registers,
        vcpus: pins.save(),
        own,
        ...departedOf(memory.hostFrames),
        ...(bootEnded ? { bootEnded: true } : {}),
      };
    },
    restore(state) {
      if (!kept.saveRestore) return false;
      checkProtectionState(state, { backend: 'reference', capabilities: kept, endsBoot: true });
      const own = checkedOwn(state.own, vcpus.length);
      replace(state);
      denials = own?.denials ?? denials;
      for (const vcpu of vcpus) {
        const view = views.get(vcpu);
        if (view !== undefined) view.unbound = own?.nested.includes(vcpu.id) === true;
      }
      return true;
    },
    load: (gpa, bytes) => {
      store(gpa, bytes, { bound: false, fillsRom: true });
    },
    emulatedMovToCr(vcpu, register, value) {
      const name = register === 0 ? 'cr0' : 'cr4';
      const old = vcpu.registers[name];
      if (pins.allows(vcpu, { name, old, value })) return vcpu.emulateMovToCr(register, value);
      const denial: Denial = { kind: 'register', register: name, old, value };
      onEvent({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'general-protection' });
      return GENERAL_PROTECTION;
    },
    emulatedStore(vcpu, gpa, bytes) {
      const bound = !kept.bypasses.includes('emulator');
      if (store(gpa, bytes, { bound, fillsRom: false }).ok) return undefined;
      const denial: Denial = { kind: 'memory', gpa, linear: undefined, access: 'write' };
      onEvent({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'general-protection' });
      return GENERAL_PROTECTION;
    },
    enterNested(vcpu) {
      const view = views.get(vcpu);
      if (view !== undefined) view.unbound = kept.bypasses.includes('nested-guest');
      vcpu.invept();
      return true;
    },
  };
}

/** Guest memory by its own frame numbers. */
function memoryOf(host: Host, { regionOf }: ReferenceMemory): PhysicalMemory<Gfn> {
  const at = (gfn: Gfn): Pfn => {
    const region = regionOf(gfn);
    return (region === undefined ? -1 : region.backing + (gfn - region.start)) as Pfn;
  };
  return {
    page: (gfn) => (at(gfn) < 0 ? undefined : host.memory.page(at(gfn))),
    writablePage: (gfn) => (at(gfn) < 0 ? undefined : host.memory.writablePage(at(gfn))),
  };
}

/** What this backend has beside what all have. @throws {HypervisorError} when it is malformed */
function checkedOwn(saved: ProtectionState['own'], vcpus: number): ReferenceOwnState | undefined {
  if (saved === undefined) return undefined;
  const { denials, nested } = saved as ReferenceOwnState;
  checkStateInteger('own.denials', denials, 0, Number.MAX_SAFE_INTEGER);
  if (!Array.isArray(nested)) throw badState('own.nested', nested, 'a list');
  for (const [index, vcpu] of nested.entries()) {
    checkStateInteger(`own.nested[${index}]`, vcpu, 0, vcpus - 1);
  }
  return { backend: 'reference', denials, nested };
}
