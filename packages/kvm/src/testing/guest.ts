import { encodePageList, type ProtectedRange } from '@heki/hypercall/kvm';
import type { Hypervisor, VirtualMachine, VirtualMachineOptions } from '@heki/hypervisor';
import {
  addressOf,
  createFrameAllocator,
  createRam,
  type Gfn,
  type Gpa,
  type Pfn,
  type Ram,
  type VirtualAddress,
  writeU64,
} from '@heki/physical-memory';
import type { TableFrames } from '@heki/second-level';
import type { Exception, ExceptionDecision, Registers, Vcpu, VcpuSetup } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import type { KvmEvent } from '../event.ts';
import { createKvm } from '../kvm.ts';
import type { KvmVcpuSetup } from '../nested/nested-guest.ts';
import type { KvmOptions } from '../options.ts';
import type { KvmVirtualMachine } from '../virtual-machine.ts';

/** Where guest-physical address 0 is mapped for the kernel: writable and executable, in 1 GiB leaves. */
export const DIRECT_MAP = 0xffff_8880_0000_0000n;
/** Where the same frames are mapped for user code, user-accessible: writable and executable. */
const USER_MAP = 0x0000_1000_0000_0000n;
/** Guest frames that hold the guest's page tables. */
const TABLES = 0x40;

const PRESENT_WRITABLE = 3n;
const USER = 4n;
const LARGE = 0x80n;

/** The kernel address of guest-physical `gpa`. */
export function kernelVa(gpa: number): VirtualAddress {
  return (DIRECT_MAP + BigInt(gpa)) as VirtualAddress;
}

/** The user address of guest-physical `gpa`. */
export function userVa(gpa: number): VirtualAddress {
  return (USER_MAP + BigInt(gpa)) as VirtualAddress;
}

/** A VM with memory, kernel-like page tables in it, and whatever it reported. */
export interface TestGuest<Machine extends VirtualMachine = KvmVirtualMachine> {
  readonly vm: Machine;
  readonly ram: Ram<Pfn>;
  readonly frames: TableFrames & { readonly freeFrames: number };
  readonly cpu: Vcpu;
  readonly events: KvmEvent[];
  readonly exceptions: Exception[];
  /** Another virtual CPU in the same state. */
  addCpu(setup?: KvmVcpuSetup): Vcpu;
  /** VMCALL: the number, then up to four arguments. The result as a signed number. */
  hypercall(number: number, ...args: (number | bigint)[]): number;
  /** Writes `ranges` as a page list from guest frame `at` on, and makes hypercall 14. */
  protect(ranges: readonly ProtectedRange[], at?: number): number;
  /** The events of one type, in order. */
  of<Type extends KvmEvent['type']>(type: Type): Extract<KvmEvent, { type: Type }>[];
}

interface Shape {
  /** Frames of guest memory from guest frame 0 on. Default 2^14, 64 MiB. */
  readonly guestFrames?: number;
  readonly registers?: Partial<Registers>;
  readonly onException?: (exception: Exception) => ExceptionDecision;
  /** What other virtual CPUs do in the middle of a request. */
  readonly onYield?: VirtualMachineOptions['onYield'];
  /** No listener for events. */
  readonly deaf?: boolean;
}

export interface TestGuestOptions extends KvmOptions, Shape {}

/** Host frames behind the guest's, for slots of a test's own. */
const SPARE = 0x100;

/** Guest frames that list pages are written to unless told otherwise. */
export const LIST_FRAME = 0x60;

export function range(start: number, end: number, permissions: number): ProtectedRange {
  return { start: start as Gfn, end: end as Gfn, permissions };
}

/** A guest of KVM as the series has it. */
export function createGuest(options: TestGuestOptions = {}): TestGuest {
  return createGuestOn(createKvm(options), options);
}

/** A guest at CPL 0 in 64-bit mode whose frame 0 is host frame 0x100000. */
export function createGuestOn<Machine extends VirtualMachine>(
  hypervisor: Hypervisor<Machine, KvmEvent>,
  { guestFrames = 2 ** 14, registers, onException, onYield, deaf = false }: Shape = {},
): TestGuest<Machine> {
  const backing = 0x10_0000 as Pfn;
  const tables = { start: 0x1000 as Pfn, end: 0x9000 as Pfn };
  const ram = createRam<Pfn>({
    ranges: [tables, { start: backing, end: (backing + Math.max(guestFrames, 0x1000) + SPARE) as Pfn }],
  });
  const frames = createFrameAllocator<Pfn>({ ranges: [tables] });
  const events: KvmEvent[] = [];
  const exceptions: Exception[] = [];
  const vm = hypervisor.createVirtualMachine({
    host: { memory: ram, frames },
    onYield,
    ...(deaf ? {} : { onEvent: (event) => events.push(event) }),
  });
  vm.addMemory({ start: 0 as Gfn, frames: guestFrames, backing });

  const write = (gfn: number, index: number, entry: bigint): void => {
    const address = (addressOf((backing + gfn) as Pfn) + index * 8) as ReturnType<typeof addressOf<Pfn>>;
    writeU64<Pfn>(ram, address, { low: Number(entry % 2n ** 32n), high: Number(entry >> 32n) });
  };
  const accessed = 0x60n;
  for (const [index, table, user] of [
    [273, TABLES + 1, 0n],
    [32, TABLES + 2, USER],
  ] as const) {
    write(TABLES, index, (BigInt(table) << 12n) | PRESENT_WRITABLE | accessed | user);
    for (let giga = 0; giga < Math.max(1, guestFrames / 2 ** 18); giga++) {
      write(table, giga, (BigInt(giga) << 30n) | PRESENT_WRITABLE | accessed | LARGE | user);
    }
  }
  const setup: VcpuSetup = {
    registers: {
      cr0: CR0.PG | CR0.WP | CR0.AM | CR0.NE | CR0.ET | CR0.MP | CR0.PE,
      cr3: BigInt(TABLES) << 12n,
      cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE,
      efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
      codeSegment64: true,
      cpl: 0,
      rip: kernelVa(0x100_0000),
      ...registers,
    },
    onException: (_vcpu, exception) => {
      exceptions.push(exception);
      return onException?.(exception) ?? 'fatal';
    },
  };
  const cpu = vm.createVcpu(setup);

  const guest: TestGuest<Machine> = {
    vm,
    ram,
    frames,
    cpu,
    events,
    exceptions,
    addCpu: (extra = {}) => vm.createVcpu({ ...setup, ...extra }),
    hypercall(number, ...args) {
      const [rbx = 0n, rcx = 0n, rdx = 0n, rsi = 0n] = args.map(BigInt);
      Object.assign(cpu.registers, { rax: BigInt(number), rbx, rcx, rdx, rsi });
      const outcome = cpu.vmcall();
      if (outcome.kind !== 'done') throw new Error(`VMCALL ended with ${outcome.kind}`);
      return Number(BigInt.asIntN(64, cpu.registers.rax));
    },
    protect(ranges, at = LIST_FRAME) {
      const count = Math.ceil(ranges.length / 169);
      const list = encodePageList({
        memory: guestView(ram, backing),
        frames: Array.from({ length: count }, (_, index) => (at + index) as Gfn),
        ranges,
        directMap: DIRECT_MAP as VirtualAddress,
      });
      return guest.hypercall(14, list);
    },
    of: (type) =>
      events.filter((event): event is Extract<KvmEvent, { type: typeof type }> => event.type === type),
  };
  return guest;
}

/** Guest memory as the guest's own stores before boot would fill it. */
export function guestView(ram: Ram<Pfn>, backing: Pfn) {
  return {
    page: (gfn: Gfn) => ram.page((backing + gfn) as Pfn),
    writablePage: (gfn: Gfn) => ram.writablePage((backing + gfn) as Pfn),
  };
}

/** Stores 64-bit words into guest memory, past everything. */
export function poke(
  guest: { readonly vm: Pick<VirtualMachine, 'write'> },
  gpa: number,
  words: readonly bigint[],
): void {
  const bytes = new Uint8Array(words.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setBigUint64(index * 8, BigInt.asUintN(64, word), true);
  guest.vm.write('vmm', gpa as Gpa, bytes);
}
