import { encodePageList, MEM_ATTR_EXEC, MEM_ATTR_IMMUTABLE, MEM_ATTR_READ } from '@heki/hypercall/kvm';
import { createKvm } from '@heki/kvm';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gfn,
  gfn,
  type Pfn,
  pfn,
  virtualAddress,
  virtualFrame,
} from '@heki/physical-memory';
import { CR0, CR4, createAddressSpace, EFER, entryBits } from '@heki/x86';

// A host with 64 MiB for a guest and 4 MiB for its own tables, and KVM as the series has it.
const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x8000) }] });
const kvm = createKvm({ profile: 'rfc-v2' });
const vm = kvm.createVirtualMachine({
  host: {
    memory: host,
    frames: createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x400) }] }),
  },
  onEvent: (event) => console.log(kvm.describe(event)),
});
vm.addMemory({ start: gfn(0), frames: 0x4000, backing: pfn(0x4000) });

// A kernel whose text, 2 MiB from guest frame 0x1000 on, is mapped writable.
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

// It asks for the text to be r-x for ever, and then somebody stores there.
const permissions = MEM_ATTR_READ | MEM_ATTR_EXEC | MEM_ATTR_IMMUTABLE;
const list = encodePageList({
  memory: guest,
  frames: [gfn(0x200)],
  ranges: [{ start: gfn(0x1000), end: gfn(0x1200), permissions }],
  directMap: virtualAddress(0xffff888000000000n),
});
Object.assign(cpu.registers, { rax: 14n, rbx: BigInt(list) });
cpu.vmcall();
const store = cpu.store(virtualAddress(0xffffffff81000000n), 1, 0xccn);
if (store.kind === 'exception') console.log(`the store ends with exception ${store.vector}`);
