// A hypervisor of one's own: AMD's nested paging. The guest's kernel asks by VMMCALL, and what is denied is #GP(0).
import {
  CR0_PIN_REQUIRED,
  CR4_PINNED_MASK,
  decodePageList,
  forEachRange,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_WRITE,
} from '@heki/hypercall/kvm';
import { grantableRights, HypervisorError, sameRights } from '@heki/hypervisor';
import { createNpt, createNptEditor, NpfInfo1, nptLeaf } from '@heki/npt';
import { frameOf, writeBytes } from '@heki/physical-memory';
import { createVcpu, Vector } from '@heki/vcpu';
import { CR0, EntryHigh, EntryLow } from '@heki/x86';

/**
 * @import { Capabilities, GuestMemoryRegion, Hypervisor, HypervisorEvent, MemoryAccess } from '@heki/hypervisor'
 * @import { PinResult, ProtectionRange, ProtectionResult, Refusal, Rights, VirtualMachine } from '@heki/hypervisor'
 * @import { HekiDriver, HypervisorSettings } from '@heki/machine'
 * @import { Gfn, Gpa, Pfn, PhysicalMemory } from '@heki/physical-memory'
 * @import { ExitAction, Vcpu, VmExit } from '@heki/vcpu'
 */

/** What the guest can ask: the number is in RAX, arguments in RBX and RCX, and the answer in RAX: 0 when it was taken. */
export const Call = Object.freeze({ VERSION: 0x1000n, PIN: 0x1001n, PROTECT: 0x1002n });
const VERSION = 1n;
const REFUSED = -1n;
/** Pages of a list that are read in one call: 10,816 ranges. */
const LIST_PAGES = 64;
/** A frame that no host has. */
const NO_FRAME = 2 ** 40;

/** @type {Rights} */
const ALL = { read: true, write: true, supervisorExecute: true, userExecute: true };
/** @type {ExitAction} */
const DENIED = { kind: 'inject', exception: { vector: Vector.GP, errorCode: 0 } };

// 1. What it can do.

/**
 * @param {boolean} gmet
 * @returns {Capabilities}
 */
function capabilitiesOf(gmet) {
  return {
    policyOwner: 'guest-kernel',
    // With GMET a page can be kept from the kernel alone or from all code; without it, from all code or none.
    executeSplit: gmet ? 'user-without-supervisor' : 'none',
    executeOnly: false,
    readDenial: false,
    immutability: { kind: 'per-page', undoneBy: 'vmm' },
    unrequested: ALL,
    granule: 4096,
    largePages: 'split-by-backend',
    pins: { cr0: CR0.WP, cr4: CR4_PINNED_MASK, registers: [], semantics: 'set-bits-stay-set' },
    bypasses: ['dma', 'vmm', 'hypervisor-writes'],
    inForce: 'on-return',
    failure: 'all-or-nothing',
    denialsDecidedBy: 'hypervisor',
    verdicts: ['general-protection'],
    lifeCycle: { reset: 'clear', kexec: 'clear' },
    saveRestore: false,
  };
}

// 2. The hypervisor, made of what the command's options ask for: a processor, and whether GMET may be used.

/**
 * @param {Pick<HypervisorSettings, 'processor' | 'gmet'>} settings
 * @returns {Hypervisor<VirtualMachine, HypervisorEvent>}
 */
export default function createMine(settings) {
  const { processor } = settings;
  if (processor.npt === undefined) {
    throw new Error(`${processor.name} has no nested paging, expected one that has: --cpu amd-zen4`);
  }
  const gmet = settings.gmet && processor.npt.gmet;
  const capabilities = capabilitiesOf(gmet);
  return {
    name: 'mine',
    capabilities,
    processor,
    describe: ({ type }) => type,
    createVirtualMachine: ({ host, onEvent }) => new Machine(host, processor, gmet, capabilities, onEvent),
  };
}

/** @implements {VirtualMachine} */
class Machine {
  /** @type {Vcpu[]} */
  vcpus = [];
  /** @type {GuestMemoryRegion[]} */
  #regions = [];
  /**
   * Memory that there is or ever was.
   *
   * @type {GuestMemoryRegion[]}
   */
  #known = [];
  /** What was asked for, as it was granted: no two overlap. @type {ProtectionRange[]} */
  #asked = [];
  #pins = { cr0: 0n, cr4: 0n };
  #host;
  #processor;
  #gmet;
  #capabilities;
  #onEvent;
  #editor;
  /** @type {PhysicalMemory<Gfn>} */
  #memory = {
    page: (gfn) => this.#host.memory.page(this.#hostFrame(gfn)),
    writablePage: (gfn) => this.#host.memory.writablePage(this.#hostFrame(gfn)),
  };

  /**
   * @param {import('@heki/hypervisor').Host} host
   * @param {HypervisorSettings['processor']} processor
   * @param {boolean} gmet
   * @param {Capabilities} capabilities
   * @param {((event: HypervisorEvent) => void) | undefined} onEvent
   */
  constructor(host, processor, gmet, capabilities, onEvent) {
    this.#host = host;
    this.#processor = processor;
    this.#gmet = gmet;
    this.#capabilities = capabilities;
    this.#onEvent = onEvent;
    this.#editor = createNptEditor({ ...host, processor });
  }

  // 3. Memory. Rights are leaves of the nested tables, and belong to frame numbers: they outlive the memory there.

  /** @param {GuestMemoryRegion} region */
  addMemory(region) {
    const { start, frames, backing } = region;
    const end = start + frames;
    if (this.#regions.some((other) => start < other.start + other.frames && other.start < end)) {
      throw new HypervisorError(`memory from frame ${start} on overlaps other memory`);
    }
    // A second name for the same bytes would have rights of its own. This backend knows none, at one time or one after the other.
    const shift = start - backing;
    const overlapsOther = (/** @type {GuestMemoryRegion} */ other) =>
      backing < other.backing + other.frames && other.backing < backing + frames;
    if (this.#known.some((other) => overlapsOther(other) && other.start - other.backing !== shift)) {
      throw new HypervisorError(`host memory from frame ${backing} on is, or was, other memory of the guest`);
    }
    this.#known.push(region);
    this.#regions.push(region);
    this.#map(start, end, ALL);
    for (const range of this.#asked) {
      this.#map(Math.max(range.start, start), Math.min(range.end, end), range.rights);
    }
  }

  /** @param {Gfn} start */
  removeMemory(start) {
    const index = this.#regions.findIndex((region) => region.start === start);
    const [region] = index < 0 ? [] : this.#regions.splice(index, 1);
    if (region === undefined) throw new HypervisorError(`no memory starts at frame ${start}`);
    this.#editor.unmap(start, /** @type {Gfn} */ (start + region.frames));
    this.flush();
  }

  /** @param {Gfn} gfn */
  effectiveRights(gfn) {
    if (this.#regionOf(gfn) === undefined) return undefined;
    const { low, high } = this.#editor.leaf(gfn)?.entry ?? { low: 0, high: 0 };
    const execute = (high & EntryHigh.XD) === 0;
    const user = (low & EntryLow.US) !== 0;
    return {
      read: true,
      write: (low & EntryLow.RW) !== 0,
      // With GMET the kernel does not execute what U/S gives to user code (APM 2 15.25.5).
      supervisorExecute: execute && !(this.#gmet && user),
      userExecute: execute,
      present: (low & EntryLow.P) !== 0,
    };
  }

  /** No virtual CPU may go on with a translation from before a change. */
  flush() {
    for (const vcpu of this.vcpus) vcpu.invept();
  }

  /** @param {number} gfn */
  #regionOf(gfn) {
    return this.#regions.find(({ start, frames }) => gfn >= start && gfn < start + frames);
  }

  /** @param {number} gfn */
  #hostFrame(gfn) {
    const region = this.#regionOf(gfn);
    return /** @type {Pfn} */ (region === undefined ? NO_FRAME : region.backing + gfn - region.start);
  }

  /**
   * @param {number} start
   * @param {number} end
   * @param {Rights} rights
   */
  #map(start, end, rights) {
    for (const region of this.#regions) {
      const from = Math.max(start, region.start);
      const to = Math.min(end, region.start + region.frames);
      if (from >= to) continue;
      const write = rights.write && region.readOnly !== true;
      const { bits } = nptLeaf({ ...rights, write }, { gmet: this.#gmet });
      this.#editor.map(/** @type {Gfn} */ (from), /** @type {Gfn} */ (to), this.#hostFrame(from), bits);
    }
    this.flush();
  }

  // 4. Requests: all of one is taken, or nothing.

  /** @param {readonly ProtectionRange[]} ranges */
  protect(ranges) {
    return this.#protect(ranges, 'vmm');
  }

  /** @param {import('@heki/hypervisor').PinRequest} request */
  pin({ cr0 = 0n, cr4 = 0n, registers = [] }) {
    return this.#pin(cr0, cr4, registers, 'vmm');
  }

  /**
   * @param {readonly ProtectionRange[]} ranges
   * @param {'vmm' | 'guest'} by
   */
  #protect(ranges, by) {
    const at = ranges.findIndex((range) => this.#whyNot(range) !== undefined);
    const why = ranges[at] && this.#whyNot(ranges[at]);
    if (why !== undefined) return this.#answered({ applied: 0, weakened: [], refused: { at, why } }, by);
    const weakened = [];
    for (const range of ranges) {
      const { start, end } = range;
      const granted = grantableRights(this.#capabilities, range.rights);
      if (!sameRights(range.rights, granted)) weakened.push({ range, granted });
      this.#asked = this.#asked.flatMap((old) => [
        ...(old.start < start ? [{ ...old, end: /** @type {Gfn} */ (Math.min(old.end, start)) }] : []),
        ...(old.end > end ? [{ ...old, start: /** @type {Gfn} */ (Math.max(old.start, end)) }] : []),
      ]);
      this.#asked.push({ ...range, rights: granted });
      this.#map(start, end, granted);
    }
    return this.#answered({ applied: ranges.length, weakened }, by);
  }

  /**
   * @param {ProtectionResult} result
   * @param {'vmm' | 'guest'} by
   */
  #answered(result, by) {
    this.#onEvent?.({ type: 'protected', by, result });
    return result;
  }

  /**
   * @param {ProtectionRange} range
   * @returns {Refusal | undefined}
   */
  #whyNot({ start, end }) {
    if (end <= start) return 'empty';
    for (let gfn = start; gfn < end; ) {
      const region = this.#regionOf(gfn);
      if (region === undefined) return 'not-memory';
      gfn = /** @type {Gfn} */ (region.start + region.frames);
    }
    const isImmutable = this.#asked.some(
      (old) => old.immutable === true && old.start < end && start < old.end,
    );
    return isImmutable ? 'immutable' : undefined;
  }

  /**
   * @param {bigint} cr0
   * @param {bigint} cr4
   * @param {readonly import('@heki/hypervisor').PinnableRegister[]} registers
   * @param {'vmm' | 'guest'} by
   */
  #pin(cr0, cr4, registers, by) {
    const { pins } = this.#capabilities;
    const isWrong = (cr0 & ~pins.cr0) !== 0n || (cr4 & ~pins.cr4) !== 0n || registers.length > 0;
    if (!isWrong) this.#pins = { cr0: this.#pins.cr0 | cr0, cr4: this.#pins.cr4 | cr4 };
    /** @type {PinResult} */
    const result = isWrong
      ? { ...this.#pins, dropped: { cr0, cr4, registers }, refused: 'unsupported' }
      : { ...this.#pins, dropped: { cr0: 0n, cr4: 0n } };
    this.#onEvent?.({ type: 'pinned', by, result });
    return result;
  }

  // 5. Virtual CPUs, and what leads out of them.

  /** @param {import('@heki/vcpu').VcpuSetup} [setup] */
  createVcpu(setup = {}) {
    const { memory } = this.#host;
    const vcpu = createVcpu({
      ...setup,
      id: this.vcpus.length,
      memory,
      processor: this.#processor,
      secondLevel: createNpt({
        memory,
        root: this.#editor.root,
        processor: this.#processor,
        controls: { gmet: this.#gmet },
      }),
      onExit: (cpu, exit) => this.#onExit(cpu, exit),
    });
    // SVM has no masks: every write of CR4 exits, and every change of CR0 but of TS and MP.
    vcpu.controls.svm = { cr0Write: false, cr0Selective: true, cr4Write: true };
    this.vcpus.push(vcpu);
    return vcpu;
  }

  /**
   * @param {Vcpu} vcpu
   * @param {VmExit} exit
   * @returns {ExitAction}
   */
  #onExit(vcpu, exit) {
    switch (exit.reason) {
      case 'nested-page-fault':
        return this.#onFault(vcpu, exit.gpa, exit.info1);
      case 'mov-to-cr':
        return this.#onRegisterWrite(vcpu, exit.cr, exit.value);
      case 'hypercall':
        vcpu.registers.rax = BigInt.asUintN(64, this.#onCall(vcpu));
        return { kind: 'skip' };
      default:
        return { kind: 'stop', why: exit.reason };
    }
  }

  /**
   * @param {Vcpu} vcpu
   * @param {Gpa} gpa
   * @param {bigint} info1
   * @returns {ExitAction}
   */
  #onFault(vcpu, gpa, info1) {
    // No memory there: a device that reads as ones.
    if (this.#regionOf(frameOf(gpa)) === undefined) return { kind: 'skip', value: (1n << 64n) - 1n };
    const has = (/** @type {bigint} */ bit) => (info1 & bit) !== 0n;
    /** @type {MemoryAccess} */
    const fetch = vcpu.registers.cpl === 3 ? 'user-execute' : 'supervisor-execute';
    const data = has(NpfInfo1.W) ? 'write' : 'read';
    const access = has(NpfInfo1.PAGE_TABLE) ? 'page-walk' : has(NpfInfo1.ID) ? fetch : data;
    const denial = /** @type {const} */ ({ kind: 'memory', gpa, linear: undefined, access });
    this.#onEvent?.({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'general-protection' });
    return DENIED;
  }

  /**
   * @param {Vcpu} vcpu
   * @param {0 | 3 | 4} cr
   * @param {bigint} value
   * @returns {ExitAction}
   */
  #onRegisterWrite(vcpu, cr, value) {
    const register = /** @type {const} */ (`cr${cr}`);
    const old = vcpu.registers[register];
    const pinned = cr === 3 ? 0n : this.#pins[cr === 0 ? 'cr0' : 'cr4'];
    // What is set stays set. A processor that took INIT has the bits clear, and may start.
    if ((old & pinned & ~value) !== 0n) {
      const denial = /** @type {const} */ ({ kind: 'register', register, old, value });
      this.#onEvent?.({ type: 'denied', vcpu: vcpu.id, denial, verdict: 'general-protection' });
      return DENIED;
    }
    const exception = vcpu.emulateMovToCr(cr, value);
    return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
  }

  /** @param {Vcpu} vcpu */
  #onCall({ registers: { rax, rbx, rcx, cpl } }) {
    if (cpl !== 0) return REFUSED;
    if (rax === Call.VERSION) return VERSION;
    if (rax === Call.PIN && (rbx === 0n || rbx === 4n) && rcx !== 0n) {
      return this.#pin(rbx === 0n ? rcx : 0n, rbx === 4n ? rcx : 0n, [], 'guest').refused ? REFUSED : 0n;
    }
    if (rax !== Call.PROTECT) return REFUSED;
    // The list is the series' own: pages of ranges, each with its permissions (Heki v2 18/19).
    const list = decodePageList({ memory: this.#memory, list: rbx, maxPages: LIST_PAGES });
    if (!list.ok) {
      this.#answered({ applied: 0, weakened: [], refused: { at: -1, why: 'bad-request' } }, 'guest');
      return REFUSED;
    }
    /** @type {ProtectionRange[]} */
    const ranges = [];
    forEachRange(list.pages, (start, end, permissions) => {
      const has = (/** @type {number} */ bit) => (permissions & bit) !== 0;
      const supervisorExecute = has(MEM_ATTR_EXEC);
      const rights = { read: true, write: has(MEM_ATTR_WRITE), supervisorExecute, userExecute: true };
      ranges.push({ start, end, rights, immutable: has(MEM_ATTR_IMMUTABLE) });
    });
    return this.#protect(ranges, 'guest').refused ? REFUSED : 0n;
  }

  // 6. The rest.

  /**
   * @param {import('@heki/hypervisor').OtherWriter} _writer
   * @param {Gpa} gpa
   * @param {Uint8Array} bytes
   * @returns {import('@heki/hypervisor').OtherWriteResult}
   */
  write(_writer, gpa, bytes) {
    const stored = writeBytes(this.#memory, gpa, bytes);
    if (stored === bytes.length) return { ok: true };
    return { ok: false, why: 'not-memory', at: /** @type {Gpa} */ (gpa + stored) };
  }

  /** @param {import('@heki/hypervisor').LifeCycle} event */
  lifeCycle(event) {
    if (event.kind === 'init') return this.vcpus[event.vcpu]?.init();
    this.#asked = [];
    this.#pins = { cr0: 0n, cr4: 0n };
    for (const { start, frames } of this.#regions) this.#map(start, start + frames, ALL);
    if (event.kind === 'reset') for (const vcpu of this.vcpus) vcpu.reset();
  }

  save() {
    return undefined;
  }

  restore() {
    return false;
  }
}

// 7. The driver in the guest's kernel: what its Heki core asks for, as calls on the virtual CPU that it runs on.

/** @type {HekiDriver} */
export const driver = (guest, { vcpu }) => {
  /**
   * @param {bigint} number
   * @param {bigint} [first]
   * @param {bigint} [second]
   */
  function call(number, first = 0n, second = 0n) {
    const cpu = vcpu();
    const { rax, rbx, rcx } = cpu.registers;
    Object.assign(cpu.registers, { rax: number, rbx: first, rcx: second });
    // Without an answer, VMMCALL is #UD.
    const answer = cpu.vmcall().kind === 'done' ? BigInt.asIntN(64, cpu.registers.rax) : REFUSED;
    Object.assign(cpu.registers, { rax, rbx, rcx });
    return answer;
  }
  if (call(Call.VERSION) !== VERSION) return false;
  guest.hypervisor = {
    lockCrs() {
      const cr4 = vcpu().registers.cr4 & CR4_PINNED_MASK;
      const answer = call(Call.PIN, 0n, CR0_PIN_REQUIRED);
      return Number(answer !== 0n || cr4 === 0n ? answer : call(Call.PIN, 4n, cr4));
    },
    protectMemory: (list) => Number(call(Call.PROTECT, BigInt(list))),
  };
  return true;
};
