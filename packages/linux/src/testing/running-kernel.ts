import {
  createMemoryMap,
  type Gfn,
  type Gpa,
  gfn,
  type MemoryMap,
  PAGE_SIZE,
  readBytes,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { VcpuSetup } from '@heki/vcpu';
import type { MappingLeaf } from '@heki/x86';
import { walkMappings } from '@heki/x86';
import { createLinuxKernel } from '../create-kernel.ts';
import type { LinuxEvent } from '../event.ts';
import { SMALL_KERNEL } from '../layout/small-kernel.ts';
import type { LinuxKernel, LinuxKernelOptions } from '../linux-kernel.ts';
import type { KernelOutcome } from '../outcome.ts';
import { type BareMachine, createBareMachine } from './machine.ts';

/** A PC with 128 MiB. */
export const SMALL_MEMORY: MemoryMap<Gfn> = createMemoryMap<Gfn>([
  { start: gfn(1), end: gfn(0x9f), type: 'ram' },
  { start: gfn(0x100), end: gfn(0x8000), type: 'ram' },
]);

/** A kernel that has booted, what it reported, and a look at its page tables. */
export interface RunningKernel extends BareMachine {
  readonly kernel: LinuxKernel;
  readonly events: LinuxEvent[];
  /** The leaf over an address, straight from memory. */
  leaf(address: VirtualAddress): MappingLeaf | undefined;
  /** What a leaf allows: `rw-`, `r-x`; `---` where nothing is mapped. */
  rights(address: VirtualAddress): string;
  /** Where the direct map has a frame. */
  direct(frame: Gfn): VirtualAddress;
  /** Bytes of memory, past the processor. */
  bytes(frame: Gfn, offset: number, length: number): number[];
}

/** Boots the small kernel in 128 MiB, or what `options` say, up to its end or to `before`. */
export function bootKernel(
  options: Partial<LinuxKernelOptions> & { readonly setup?: VcpuSetup; readonly cpus?: number } = {},
  before?: Parameters<LinuxKernel['boot']>[0],
): RunningKernel {
  const { memoryMap = SMALL_MEMORY, setup, onEvent, cpus = 1, ...rest } = options;
  const machine = createBareMachine(memoryMap, setup);
  const events: LinuxEvent[] = [];
  const kernel = createLinuxKernel({
    ...machine,
    memoryMap,
    build: SMALL_KERNEL,
    secondaryVcpus: Array.from({ length: cpus - 1 }, () => machine.addVcpu()),
    ...rest,
    onEvent(event) {
      events.push(event);
      onEvent?.(event);
    },
  });
  done(kernel.boot(before));
  const { memory } = machine;
  const leaf = (address: VirtualAddress): MappingLeaf | undefined => {
    const frame = virtualFrameOf(address);
    let found: MappingLeaf | undefined;
    const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
    walkMappings(tables, frame, (frame + 1) as VirtualFrame, (one) => {
      found = { ...one };
    });
    return found;
  };
  return {
    ...machine,
    kernel,
    events,
    leaf,
    rights(address) {
      const found = leaf(address);
      if (found === undefined) return '---';
      return `r${(found.low & 2) === 0 ? '-' : 'w'}${found.high >>> 31 === 0 ? 'x' : '-'}`;
    },
    direct: (frame) => ((BigInt(kernel.layout.directMap) + BigInt(frame)) << 12n) as VirtualAddress,
    bytes(frame, offset, length) {
      const target = new Uint8Array(length);
      readBytes<Gfn>(memory, (frame * 4096 + offset) as Gpa, target);
      return [...target];
    },
  };
}

/** The value of an outcome that a test expects to be done. */
export function done<Value>(outcome: KernelOutcome<Value>): Value {
  if (outcome.kind !== 'done')
    throw new Error(
      `not done: ${JSON.stringify(outcome, (_, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v))}`,
    );
  return outcome.value;
}

/** An address some bytes further on. */
export const after = (address: VirtualAddress, bytes: number): VirtualAddress =>
  (address + BigInt(bytes)) as VirtualAddress;

/** Takes the freed pages of the image out of the page allocator: they have another mapping, which counts. */
export function keepImagePages({ kernel }: RunningKernel): void {
  const { textFrame } = kernel.layout;
  const imageEnd = textFrame + Math.ceil(kernel.build.offsets._end / PAGE_SIZE);
  const frames: Gfn[] = [];
  while (kernel.freeFrames > 0) frames.push(done(kernel.allocatePages()));
  for (const frame of frames) {
    if (frame < textFrame || frame >= imageEnd) kernel.freePages(frame);
  }
}
