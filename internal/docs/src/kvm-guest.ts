import { type Eptp, explainEptWalk } from '@heki/ept';
import { encodePageList, KvmHypercall } from '@heki/hypercall/kvm';
import { createKvm, type Kvm, type KvmEvent, type KvmOptions, type KvmVirtualMachine } from '@heki/kvm';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gfn,
  type Gpa,
  type Pfn,
  type PhysicalMemory,
  pfn,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { Registers, Vcpu } from '@heki/vcpu';
import { CR4, createAddressSpace, entryBits, pagingRegisters } from '@heki/x86';

/** Frames of guest memory: 16 MiB. */
export const GUEST_FRAMES = 0x1000;
/** Guest frames of the page list. */
const LIST: readonly Gfn[] = [0x200 as Gfn];
/** Where the guest has its direct map. */
const DIRECT_MAP = 0xffff_8880_0000_0000n;
/** Host frame of guest frame 0. */
const BACKING = pfn(0x4000);

/** One range of a request: first frame, exclusive end, MEM_ATTR bits. */
export type Range = readonly [start: number, end: number, permissions: number];

/** A guest with 16 MiB of memory under KVM, all of it mapped for its kernel, and what KVM said. */
export interface KvmGuest {
  readonly kvm: Kvm;
  readonly vm: KvmVirtualMachine;
  readonly cpu: Vcpu;
  readonly memory: PhysicalMemory<Gfn>;
  /** Events since the last call of {@link takeTrace}. */
  readonly events: KvmEvent[];
  /** The lines of {@link events}, which is empty afterwards. */
  takeTrace(): string[];
  /** VMCALL; the result as a signed number. */
  hypercall(number: number, ...args: bigint[]): number;
  /** Writes a page list and makes hypercall 14. */
  protect(ranges: readonly Range[]): number;
  /** Writes a page list; its address. */
  writeList(ranges: readonly Range[]): Gpa;
  /** Maps all of guest memory as faults would. */
  preFault(): void;
  /** EPT leaves of all guest memory, read from the bytes of the tables. */
  leaves(): Leaf[];
}

/** An EPT leaf, or a hole (`level` 0). */
export interface Leaf {
  readonly start: number;
  readonly end: number;
  readonly level: number;
  readonly entry: bigint;
}

/** The kernel's linear address of a guest-physical address. */
export function kernelAddress(gpa: number): VirtualAddress {
  return virtualAddress(DIRECT_MAP + BigInt(gpa));
}

export function createKvmGuest(options: KvmOptions = {}, registers: Partial<Registers> = {}): KvmGuest {
  const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(BACKING + GUEST_FRAMES) }] });
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0x100), end: pfn(0x1000) }] });
  const events: KvmEvent[] = [];
  const kvm = createKvm(options);
  const vm = kvm.createVirtualMachine({
    host: { memory: host, frames },
    onEvent: (event) => events.push(event),
  });
  vm.addMemory({ start: 0 as Gfn, frames: GUEST_FRAMES, backing: BACKING });
  const memory = createMountedMemory<Gfn>({
    mounts: [{ start: 0 as Gfn, frames: GUEST_FRAMES, memory: host, from: BACKING }],
  });

  const tables = createFrameAllocator<Gfn>({ ranges: [{ start: 0x100 as Gfn, end: 0x180 as Gfn }] });
  const kernel = createAddressSpace({ memory, tables, levels: 4 });
  const base = virtualFrameOf(virtualAddress(DIRECT_MAP));
  kernel.map(base, (base + GUEST_FRAMES) as VirtualFrame, 0 as Gfn, entryBits('P', 'RW', 'A', 'D'));
  const cpu = vm.createVcpu({
    registers: {
      ...pagingRegisters({
        cr3: BigInt(kernel.root) << 12n,
        cr4: CR4.PAE | CR4.SMEP | CR4.SMAP | CR4.UMIP,
      }),
      codeSegment64: true,
      ...registers,
    },
  });

  const guest: KvmGuest = {
    kvm,
    vm,
    cpu,
    memory,
    events,
    takeTrace: () => events.splice(0).map((event) => kvm.describe(event)),
    hypercall(number, rbx = 0n, rcx = 0n, rdx = 0n) {
      Object.assign(cpu.registers, { rax: BigInt(number), rbx, rcx, rdx, rsi: 0n });
      cpu.vmcall();
      return Number(BigInt.asIntN(64, cpu.registers.rax));
    },
    protect: (ranges) => guest.hypercall(KvmHypercall.PROTECT_MEMORY, BigInt(guest.writeList(ranges))),
    writeList: (ranges) =>
      encodePageList({
        memory,
        frames: LIST,
        ranges: ranges.map(([start, end, permissions]) => ({
          start: start as Gfn,
          end: end as Gfn,
          permissions,
        })),
        directMap: virtualAddress(DIRECT_MAP),
      }),
    preFault: () => void vm.preFault(0 as Gfn, GUEST_FRAMES as Gfn),
    leaves: () => leavesOf(vm, kvm, host),
  };
  return guest;
}

function leavesOf(vm: KvmVirtualMachine, { processor }: Kvm, memory: PhysicalMemory<Pfn>): Leaf[] {
  const eptp: Eptp = {
    memoryType: 6,
    levels: 4,
    accessedDirty: true,
    supervisorShadowStack: false,
    root: vm.root as Pfn,
  };
  const controls = { modeBasedExecute: true };
  const leaves: Leaf[] = [];
  for (let start = 0; start < GUEST_FRAMES; ) {
    const gfn = start as Gfn;
    const { steps } = explainEptWalk({
      memory,
      eptp,
      processor,
      controls,
      gfn,
      offset: 0,
      access: 0,
    });
    const last = steps.at(-1);
    const level = last?.level ?? 4;
    const end = start + 512 ** (level - 1);
    const present = last?.finding === 'leaf';
    leaves.push({ start, end, level: present ? level : 0, entry: present ? last.entry : 0n });
    start = end;
  }
  return leaves;
}
