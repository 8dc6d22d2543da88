// A right was taken away in EPT. Since when is it gone? On each processor since its own INVEPT.
import { createEpt, createEptEditor, EptLow, encodeEptp, eptLeaf, eptRightsChange } from '@heki/ept';
import {
  createFrameAllocator,
  createMountedMemory,
  createRam,
  type Gfn,
  gfn,
  type Pfn,
  pfn,
  virtualAddressOf,
  virtualFrame,
} from '@heki/physical-memory';
import { createVcpu, describeExit, type Vcpu } from '@heki/vcpu';
import { createAddressSpace, entryBits, INTEL_VT_RP, pagingRegisters } from '@heki/x86';

// A guest of 256 frames with one page mapped, and EPT over all of them.
const host = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x200) }] });
const guest = createMountedMemory<Gfn>({
  mounts: [{ start: gfn(0), frames: 0x100, memory: host, from: pfn(0x100) }],
});
const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x10), end: gfn(0x20) }] });
const kernel = createAddressSpace({ memory: guest, tables, levels: 4 });
const page = virtualFrame(0xffff888000040);
kernel.map(page, virtualFrame(page + 1), gfn(0x40), entryBits('P', 'RW', 'A', 'D'));

const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x100) }] });
const editor = createEptEditor({ memory: host, frames });
editor.map(gfn(0), gfn(0x100), pfn(0x100), eptLeaf({ rights: EptLow.R | EptLow.W }));
const eptp = encodeEptp({
  root: editor.root,
});

// Two virtual CPUs of this guest: the tables are one, the TLBs are two.
const createCpu = (id: number): Vcpu =>
  createVcpu({
    id,
    memory: host,
    processor: INTEL_VT_RP,
    secondLevel: createEpt({ memory: host, eptp }),
    root: editor.root,
    registers: pagingRegisters({ cr3: BigInt(kernel.root) << 12n }),
    onExit: (_, exit) => ({ kind: 'stop', why: describeExit(exit) }),
  });
const [one, two] = [createCpu(0), createCpu(1)];
const store = (cpu: Vcpu, value: bigint): void => {
  const outcome = cpu.store(virtualAddressOf(page), 8, value);
  const memory = host.page(pfn(0x140))?.[0];
  const what = outcome.kind === 'stopped' ? `refused, ${outcome.why}` : 'done';
  console.log(`  cpu ${cpu.id} stores ${value}: ${what}; memory holds ${memory}`);
};

console.log('EPT says rw-');
store(one, 1n);
store(two, 2n);

const { flush } = editor.update(gfn(0x40), gfn(0x41), eptRightsChange(EptLow.R));
console.log(`EPT says r--; stale until INVEPT: frame 0x${flush?.start.toString(16)}`);
one.invept(editor.root);
console.log('INVEPT on cpu 0, forgotten on cpu 1');
store(one, 3n);
store(two, 4n);

two.invept(editor.root);
console.log('INVEPT on cpu 1 as well');
store(two, 5n);
