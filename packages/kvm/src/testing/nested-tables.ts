import { createEptEditor, encodeEptp, eptLeaf } from '@heki/ept';
import type { VirtualMachine } from '@heki/hypervisor';
import type { GuestPlaces } from '@heki/hypervisor/conformance';
import { createNptEditor } from '@heki/npt';
import { createFrameAllocator, type Gfn, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { EntryLow } from '@heki/x86';
import type { KvmVirtualMachine } from '../virtual-machine.ts';
import { guestView, type TestGuest } from './guest.ts';

/** Tables of a hypervisor inside the guest for an L2 that sees `frames` frames as they are, with all rights. The pointer to them: an EPTP or nCR3. */
function identityTables(options: {
  /** L1's memory. */
  readonly memory: PhysicalMemory<Pfn>;
  /** Frames of it for the tables. */
  readonly tables: readonly [start: number, end: number];
  readonly frames: number;
  readonly nested: boolean;
}): bigint {
  const [start, end] = options.tables;
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: start as Pfn, end: end as Pfn }] });
  const { memory, nested } = options;
  const editor = nested ? createNptEditor({ memory, frames }) : createEptEditor({ memory, frames });
  const leaf = nested
    ? { low: EntryLow.P | EntryLow.RW | EntryLow.US | EntryLow.A | EntryLow.D, high: 0 }
    : eptLeaf({ rights: 7 });
  editor.map(0 as Gfn, options.frames as Gfn, 0 as Pfn, leaf);
  return nested ? BigInt(editor.root) << 12n : encodeEptp({ accessedDirty: false, root: editor.root });
}

/** The same for all of a test guest's memory, in its frames from 0x3000 on. */
export function tablesOfL1({ ram, cpu }: Pick<TestGuest<VirtualMachine>, 'ram' | 'cpu'>): bigint {
  return identityTables({
    memory: guestView(ram, 0x10_0000 as Pfn) as PhysicalMemory as PhysicalMemory<Pfn>,
    tables: [0x3000, 0x3100],
    frames: 0x4000,
    nested: cpu.processor.vendor === 'amd',
  });
}

/** The same for the kit's guest, behind the lists that its requests write. */
export function tablesInKit(
  { memory, backing, scratch }: Pick<GuestPlaces<KvmVirtualMachine>, 'memory' | 'backing' | 'scratch'>,
  { processor }: Vcpu,
): bigint {
  return identityTables({
    memory: {
      page: (frame: Pfn) => memory.page((backing + frame) as Pfn),
      writablePage: (frame: Pfn) => memory.writablePage((backing + frame) as Pfn),
    },
    tables: [scratch + 32, scratch + 64],
    frames: 0x8_0000,
    nested: processor.vendor === 'amd',
  });
}
