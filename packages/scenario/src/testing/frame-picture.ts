import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { KvmVirtualMachine } from '@heki/kvm';
import type { LinuxMachine } from '@heki/machine';
import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { EntryHigh, EntryLow, upperHalfStart, walkMappings } from '@heki/x86';

/** What KVM stores for every frame, and how often the kernel half maps it, at one moment. */
export interface FramePicture {
  readonly stored: Uint8Array;
  /** Mappings that read, write and execute, packed: see {@link mappingCounts}. */
  readonly mappings: Uint32Array;
}

/** Bits for each of the three numbers of a frame: no frame is mapped a thousand times. */
const BITS = 10;
const MASK = (1 << BITS) - 1;
const WRITES = 1 << BITS;
const EXECUTES = 1 << (2 * BITS);

/** Of a frame without mappings: data of whoever maps it first. */
const UNMAPPED = MEM_ATTR_READ | MEM_ATTR_WRITE;

/** How many mappings read, write and execute. */
export function mappingCounts(packed: number): [read: number, write: number, execute: number] {
  return [packed & MASK, (packed >>> BITS) & MASK, (packed >>> (2 * BITS)) & MASK];
}

/** What they allow together, as MEM_ATTR bits. */
export function allowedPermissions(packed: number): number {
  if (packed === 0) return UNMAPPED;
  return (
    ((packed & MASK) === 0 ? 0 : MEM_ATTR_READ) |
    ((packed & (MASK << BITS)) === 0 ? 0 : MEM_ATTR_WRITE) |
    ((packed & (MASK << (2 * BITS))) === 0 ? 0 : MEM_ATTR_EXEC)
  );
}

/** The frames below `frames` as they are now. */
export function takePicture(machine: LinuxMachine<KvmVirtualMachine>, frames: number): FramePicture {
  const stored = new Uint8Array(frames);
  const { attributes } = machine.virtualMachine;
  attributes.forEach(0, frames, (start, end, value) => void stored.fill(value, start, end));
  return { stored, mappings: countMappings(machine, frames, true) };
}

/** Of every frame the mappings of the kernel half, with those of the direct map or without. */
export function countMappings(
  { memory, kernel, heki }: LinuxMachine,
  frames: number,
  withDirectMap: boolean,
): Uint32Array {
  const counts = new Uint32Array(frames);
  const { levels } = kernel.layout;
  const { start, end } = heki.directMap;
  walkMappings(
    { memory, root: kernel.pageTableRoot, levels },
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ virtualFrame, guestFrame, frames: pages, low, high }) => {
      if (!withDirectMap && virtualFrame >= start && virtualFrame < end) return;
      const one = 1 + ((low & EntryLow.RW) === 0 ? 0 : WRITES) + ((high & EntryHigh.XD) === 0 ? EXECUTES : 0);
      const last = Math.min(guestFrame + pages, frames);
      for (let frame: number = guestFrame; frame < last; frame++) counts[frame] = (counts[frame] ?? 0) + one;
    },
  );
  return counts;
}
