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
import { createVcpu, describeVcpuEvent } from '@heki/vcpu';
import { CR0, CR4, createAddressSpace, EFER, entryBits, INTEL_VT_RP } from '@heki/x86';

const guest = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(0x1000) }] });
const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x200) }] });
const kernel = createAddressSpace({ memory: guest, tables, levels: 4 });
const va = virtualAddress(0xffff888000000000n);
const page = virtualFrame(0xffff888000000);
kernel.map(page, virtualFrame(page + 1), gfn(0x400), entryBits('P', 'RW', 'A', 'D'));

const vcpu = (id: number) =>
  createVcpu({
    id,
    // Without a second level a guest frame is the host frame of the same number.
    memory: createMountedMemory<Pfn>({
      mounts: [{ start: pfn(0), frames: 0x1000, memory: guest, from: gfn(0) }],
    }),
    processor: INTEL_VT_RP,
    registers: {
      cr0: CR0.PG | CR0.WP | CR0.PE,
      cr3: BigInt(kernel.root) << 12n,
      cr4: CR4.PAE,
      efer: EFER.LMA | EFER.LME | EFER.NXE,
      rip: virtualAddress(0xffffffff81000000n),
    },
    onEvent: (event) => console.log(describeVcpuEvent(event)),
  });
const [one, two] = [vcpu(0), vcpu(1)];
one.store(va, 8, 1n);
two.store(va, 8, 2n);
kernel.change(page, virtualFrame(page + 1), { clear: entryBits('RW'), set: entryBits() });
one.invlpg(va);
one.store(va, 8, 3n);
two.store(va, 8, 4n);
two.invlpg(va);
two.store(va, 8, 5n);
const end = one.load(va, 8);
if (end.kind === 'done') console.log(`the page holds ${end.value}`);
