import type { YieldPoint } from '@heki/hypervisor';
import {
  addressOf,
  createFrameAllocator,
  createRam,
  type Gfn,
  type Pfn,
  type VirtualAddress,
  writeU64,
} from '@heki/physical-memory';
import type { Exception, VcpuSetup } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import type { XenEvent } from '../event.ts';
import type { XenOptions } from '../options.ts';
import { createXen } from '../xen.ts';

/** Where guest-physical address 0 is mapped for the kernel: writable and executable, in one 1 GiB leaf. */
export const DIRECT_MAP = 0xffff_8880_0000_0000n;
const USER_MAP = 0x0000_1000_0000_0000n;
const TABLES = 0x40;
const BACKING = 0x10_0000 as Pfn;

/** The kernel's address of guest-physical `gpa`. */
export const kernelVa = (gpa: number): VirtualAddress => (DIRECT_MAP + BigInt(gpa)) as VirtualAddress;
/** User code's address of guest-physical `gpa`. */
export const userVa = (gpa: number): VirtualAddress => (USER_MAP + BigInt(gpa)) as VirtualAddress;

/** A domain of 64 MiB in 64-bit mode at CPL 0, with what it reported. */
export function createGuest(
  options: XenOptions = {},
  tableFrames = 0x400,
  onYield?: (at: YieldPoint) => void,
) {
  const tables = { start: 0x1000 as Pfn, end: (0x1000 + tableFrames) as Pfn };
  const ram = createRam<Pfn>({ ranges: [tables, { start: BACKING, end: (BACKING + 0x4000) as Pfn }] });
  const events: XenEvent[] = [];
  const exceptions: Exception[] = [];
  const xen = createXen(options);
  const frames = createFrameAllocator<Pfn>({ ranges: [tables] });
  const vm = xen.createVirtualMachine({
    host: { memory: ram, frames },
    onEvent: (event) => events.push(event),
    onYield,
  });
  vm.addMemory({ start: 0 as Gfn, frames: 0x4000, backing: BACKING });
  const write = (gfn: number, index: number, entry: bigint): void => {
    const address = (addressOf((BACKING + gfn) as Pfn) + index * 8) as ReturnType<typeof addressOf<Pfn>>;
    writeU64<Pfn>(ram, address, { low: Number(entry % 2n ** 32n), high: Number(entry >> 32n) });
  };
  write(TABLES, 273, (BigInt(TABLES + 1) << 12n) | 0x63n);
  write(TABLES + 1, 0, 0xe3n);
  write(TABLES, 32, (BigInt(TABLES + 2) << 12n) | 0x67n);
  write(TABLES + 2, 0, 0xe7n);
  const setup: VcpuSetup = {
    registers: {
      cr0: CR0.PG | CR0.WP | CR0.NE | CR0.ET | CR0.MP | CR0.PE,
      cr3: BigInt(TABLES) << 12n,
      cr4: CR4.PAE | CR4.PGE | CR4.UMIP | CR4.FSGSBASE,
      efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
      codeSegment64: true,
      cpl: 0,
      rip: kernelVa(0x100_0000),
    },
    onException: (_vcpu, exception) => {
      exceptions.push(exception);
      return 'fatal';
    },
  };
  const cpu = vm.createVcpu(setup);
  const memory = {
    page: (gfn: Gfn) => ram.page((BACKING + gfn) as Pfn),
    writablePage: (gfn: Gfn) => ram.writablePage((BACKING + gfn) as Pfn),
  };
  return { xen, vm, cpu, ram, frames, memory, events, exceptions, addCpu: () => vm.createVcpu(setup) };
}
