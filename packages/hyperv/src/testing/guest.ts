import { encodeLvbsRanges, type LvbsRange } from '@heki/hypercall/hyperv';
import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Gpa,
  type Pfn,
  pfn,
  type VirtualAddress,
} from '@heki/physical-memory';
import type { TableFrames } from '@heki/second-level';
import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import type { HypervEvent } from '../event.ts';
import { createHyperv } from '../hyperv.ts';
import type { HypervOptions } from '../options.ts';
import type { HypervVirtualMachine } from '../virtual-machine.ts';
import { vtlCall } from './vtl-call.ts';

const BASE = 0xffff_8880_0000_0000n;
const BACKING = pfn(0x1000);

/** A guest of 16 MiB whose kernel has all of it mapped writable and executable. */
export interface TestGuest {
  readonly vm: HypervVirtualMachine;
  readonly vcpu: Vcpu;
  /** Where second-level tables come from. */
  readonly frames: TableFrames;
  readonly events: HypervEvent[];
  /** Where the kernel has a guest-physical address. */
  va(gpa: number): VirtualAddress;
  /** Stores past every right, as the loader did. */
  put(gpa: number, bytes: ArrayLike<number>): void;
  /** Stores as the kernel. Whether it was done. */
  store(gpa: number, value?: bigint): boolean;
  byte(gpa: number): number;
  /** A VTL call with a list of ranges: `[start, end, attributes]`, at frame 0x80, and maybe a third argument. */
  callWith(fn: number, ...ranges: (readonly [number, number, number] | bigint)[]): number;
  call(fn: number, first?: bigint, second?: bigint, third?: bigint): number;
}

/** @param onYield what other processors do in the middle of a request */
export function createTestGuest(
  options: HypervOptions = {},
  vcpus = 1,
  onYield: (() => void) | undefined = undefined,
): TestGuest {
  const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x2000) }] });
  const events: HypervEvent[] = [];
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x400) }] });
  const vm = createHyperv(options).createVirtualMachine({
    host: { memory: host, frames },
    onEvent: (event) => events.push(event),
    onYield,
  });
  vm.addMemory({ start: 0 as Gfn, frames: 0x1000, backing: BACKING });
  const put = (gpa: number, bytes: ArrayLike<number>): void => {
    vm.write('vmm', gpa as Gpa, Uint8Array.from(bytes));
  };
  const entry = (gpa: number, value: number): void =>
    put(gpa, [value & 0xff, (value >> 8) & 0xff, value >> 16]);
  entry(0x1000 + 273 * 8, 0x2063);
  entry(0x2000, 0x3063);
  for (let i = 0; i < 8; i++) entry(0x3000 + 8 * i, i * 0x20_0000 + 0xe3);
  const registers = {
    cr0: CR0.PG | CR0.WP | CR0.PE | CR0.ET,
    cr3: 0x1000n,
    cr4: CR4.PAE | CR4.PGE,
    efer: EFER.LMA | EFER.LME | EFER.NXE | EFER.SCE,
    codeSegment64: true,
    rip: BASE as VirtualAddress,
  };
  for (let i = 0; i < vcpus; i++) vm.createVcpu({ registers, onException: () => 'fatal' });
  const [vcpu] = vm.vcpus;
  if (vcpu === undefined) throw new TypeError('a guest has a virtual CPU');
  const memory = {
    page: (gfn: Gfn) => host.page((BACKING + gfn) as Pfn),
    writablePage: (gfn: Gfn) => host.writablePage((BACKING + gfn) as Pfn),
  };
  const va = (gpa: number): VirtualAddress => (BASE + BigInt(gpa)) as VirtualAddress;
  const guest: TestGuest = {
    vm,
    vcpu,
    frames,
    events,
    va,
    put,
    store: (gpa, value = 1n) => vcpu.store(va(gpa), 1, value).kind === 'done',
    byte(gpa) {
      const page = memory.page(Math.floor(gpa / 4096) as Gfn);
      return ((page?.[(gpa % 4096) >>> 2] ?? 0) >>> (8 * (gpa % 4))) & 0xff;
    },
    call: (fn, first, second, third) => Number(vtlCall(vcpu, fn, first, second, third)),
    callWith(fn, ...values) {
      const third = values.find((value) => typeof value === 'bigint');
      const ranges = values.filter((value) => typeof value !== 'bigint');
      const list = ranges.map(
        ([pa, epa, attributes]): LvbsRange => ({ va: 0n, pa: pa as Gpa, epa: epa as Gpa, attributes }),
      );
      const first = encodeLvbsRanges({ memory, frames: [0x80 as Gfn, 0x81 as Gfn], ranges: list });
      return guest.call(fn, BigInt(first ?? 0), BigInt(list.length), third);
    },
  };
  return guest;
}
