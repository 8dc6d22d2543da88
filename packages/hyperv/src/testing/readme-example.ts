import {
  encodeHvControl,
  encodeHvModifyProtection,
  encodeLvbsRanges,
  HV_PARTITION_SELF,
  HvCall,
  LvbsFunction,
} from '@heki/hypercall/hyperv';
import { MEM_ATTR_EXEC, MEM_ATTR_READ } from '@heki/hypercall/kvm';
import { createHyperv } from '@heki/hyperv';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gfn,
  gfn,
  gpa,
  type Pfn,
  pfn,
  virtualAddress,
  virtualFrame,
} from '@heki/physical-memory';
import { CR0, CR4, createAddressSpace, EFER, entryBits } from '@heki/x86';

// A host with 64 MiB for a guest and 4 MiB for its own tables.
const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x8000) }] });
const hyperv = createHyperv();
const vm = hyperv.createVirtualMachine({
  host: { memory: host, frames: createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x400) }] }) },
  onEvent: (event) => console.log(hyperv.describe(event)),
});
vm.addMemory({ start: gfn(0), frames: 0x4000, backing: pfn(0x4000) });

// A kernel in VTL0 whose text, 2 MiB from guest frame 0x1000 on, is mapped writable.
const guest = createMountedMemory<Gfn>({
  mounts: [{ start: gfn(0), frames: 0x4000, memory: host, from: pfn(0x4000) }],
});
const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x140) }] });
const kernel = createAddressSpace({ memory: guest, tables, levels: 4 });
const text = virtualFrame(0xffffffff81000);
kernel.map(text, virtualFrame(text + 512), gfn(0x1000), entryBits('P', 'RW', 'A', 'D'));
const cpu = vm.createVcpu({
  registers: {
    cr0: CR0.PG | CR0.WP | CR0.PE,
    cr3: BigInt(kernel.root) << 12n,
    cr4: CR4.PAE,
    efer: EFER.LMA | EFER.LME | EFER.NXE,
    codeSegment64: true,
    rip: virtualAddress(0xffffffff81000000n),
  },
});

// It asks VTL1 for the text to be r-x, says that boot is over, and then somebody stores there.
const ranges = [
  { va: 0n, pa: gpa(0x1000000), epa: gpa(0x1200000), attributes: MEM_ATTR_READ | MEM_ATTR_EXEC },
];
const list = encodeLvbsRanges({ memory: guest, frames: [gfn(0x200)], ranges });
const vtlCall = (fn: number, first = 0n, second = 0n) => {
  Object.assign(cpu.registers, { rcx: BigInt(HvCall.VTL_CALL), rdi: BigInt(fn), rsi: first, rdx: second });
  cpu.vmcall();
};
vtlCall(LvbsFunction.PROTECT_MEMORY, BigInt(list ?? 0), 1n);
vtlCall(LvbsFunction.SIGNAL_END_OF_BOOT);
vtlCall(LvbsFunction.PROTECT_MEMORY, BigInt(list ?? 0), 1n);
const store = () => cpu.store(virtualAddress(0xffffffff81000000n), 1, 0xccn).kind;
console.log(store());

// VTL1 may break its promise: the hypervisor knows none.
vm.vtl1Hypercall(
  cpu,
  encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount: 1 }),
  encodeHvModifyProtection({ partition: HV_PARTITION_SELF, flags: 15, targetVtl: 1, pages: [0x1000] }),
);
console.log(store());
