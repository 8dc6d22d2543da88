import { createKvm, type KvmEvent, type KvmVirtualMachine } from '@heki/kvm';
import { type KernelOutcome, type LinuxKernel, SMALL_KERNEL } from '@heki/linux';
import {
  type Gfn,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { walkMappings } from '@heki/x86';
import { createLinuxMachine, type LinuxMachine, type LinuxMachineOptions, pcMemoryMap } from '../index.ts';

/** KVM_HC_PROTECT_MEMORY. */
const PROTECT_MEMORY = 14;
const PAGE = new Uint8Array(4096).fill(0x90);

/** The small kernel in 64 MiB that has booted on KVM, both of the same profile, and a look at what the second level grants. */
export interface BootedMachine extends LinuxMachine<KvmVirtualMachine> {
  /** Lines of the kernel's log and of its warnings. */
  readonly log: readonly string[];
  /** The frame that the page tables have for an address. */
  frameOf(address: VirtualAddress): Gfn;
  /** What the second level grants to the kernel: `rw-`. */
  granted(frame: Gfn): string;
  /** Requests to protect memory so far. */
  protectCalls(): number;
  /** Loads a module with a page of text and one of rodata; their frames, and where the text is. */
  loadModule(name: string): { readonly text: Gfn; readonly rodata: Gfn; readonly address: VirtualAddress };
  /** A page of vmalloc space. */
  vmallocPage(): VirtualAddress;
}

export function bootMachine(
  profile: Profile,
  options: Partial<Omit<LinuxMachineOptions<KvmVirtualMachine, KvmEvent>, 'onEvent'>> = {},
): BootedMachine {
  const log: string[] = [];
  const machine = createLinuxMachine({
    hypervisor: createKvm({ profile }),
    memoryMap: pcMemoryMap(64 * 2 ** 20),
    kernel: SMALL_KERNEL,
    profile,
    ...options,
    onEvent({ event }) {
      if (event.type === 'log' || event.type === 'warning') log.push(event.text);
    },
  });
  const { kernel, virtualMachine, memory } = machine;
  done(kernel.boot());
  const frameOf = (address: VirtualAddress): Gfn => {
    const page = virtualFrameOf(address);
    let frame = 0 as Gfn;
    const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
    walkMappings(tables, page, (page + 1) as VirtualFrame, ({ guestFrame, virtualFrame }) => {
      frame = (guestFrame + (page - virtualFrame)) as Gfn;
    });
    return frame;
  };
  return {
    ...machine,
    log,
    frameOf,
    granted(frame) {
      const rights = virtualMachine.effectiveRights(frame);
      return `r${rights?.write ? 'w' : '-'}${rights?.supervisorExecute ? 'x' : '-'}`;
    },
    protectCalls: () => virtualMachine.statistics.hypercalls.get(PROTECT_MEMORY) ?? 0,
    loadModule(name) {
      const { memory: parts } = done(kernel.loadModule({ name, memory: { text: PAGE, rodata: PAGE } }));
      const at = (part: 'text' | 'rodata') => parts.get(part)?.address ?? kernel.address('_text');
      return { text: frameOf(at('text')), rodata: frameOf(at('rodata')), address: at('text') };
    },
    vmallocPage: () => done(kernel.vmalloc(1)).address,
  };
}

/** The value of an outcome that a test expects to be done. */
export function done<Value>(outcome: KernelOutcome<Value>): Value {
  if (outcome.kind !== 'done') throw new Error(`the kernel did not do it: ${outcome.kind}`);
  return outcome.value;
}

/** Takes what was part of the image out of the page allocator: with B-G4 module text there would be writable from the start. */
export function keepImagePages(kernel: LinuxKernel): void {
  const { textFrame } = kernel.layout;
  const imageEnd = textFrame + Math.ceil(kernel.build.offsets._end / PAGE_SIZE);
  const frames: Gfn[] = [];
  for (let page = kernel.allocatePages(); page.kind === 'done'; page = kernel.allocatePages()) {
    frames.push(page.value);
  }
  for (const frame of frames) {
    if (frame < textFrame || frame >= imageEnd) kernel.freePages(frame);
  }
}
