import {
  createHekiGuest,
  type HekiGuestOptions,
  type HekiKernel,
  type KernelPage,
  PUBLISHED_LAYOUT,
} from '@heki/guest';
import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import { createExceptionHandler } from '@heki/linux';
import { type DriverMemory, initHekiOnKvm } from '@heki/paravirt';
import {
  addressOf,
  createFrameAllocator,
  createMountedMemory,
  createOverlay,
  createRam,
  type FrameRange,
  type Gfn,
  type Gpa,
  PAGE_SIZE,
  type Pfn,
  type VirtualAddress,
  virtualAddressOf,
  writeBytes,
} from '@heki/physical-memory';
import { CR4 } from '@heki/x86';
import { performAttack } from './attacks/perform-attack.ts';
import type { TraceEvent } from './event.ts';
import { layOutHost, machineMemory, placeAddedMemory } from './layout.ts';
import type { Machine, MachineOptions } from './machine.ts';

/** Frames of RAM added for page lists: 16 MiB, enough for 692,224 ranges. It takes host memory only where it is used. */
const ADDED_FRAMES = 4096;

/** Set by a user program at will; the kernel's entry code clears it (CLAC). */
const RFLAGS_AC = 1n << 18n;
/** Bit 1, which cannot be cleared. */
const RFLAGS_ALWAYS_SET = 1n << 1n;

/**
 * Builds a machine around a snapshot: guest memory in host memory of its own, a virtual machine of the given
 * hypervisor, a virtual CPU with the snapshot's registers, and a Heki core in the kernel.
 *
 * @throws {MachineError} when the memory map has no RAM, or no room for the RAM that is added
 */
export function createMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  options: MachineOptions<VM, Event>,
): Machine<VM> {
  const { hypervisor, memoryMap, registers, profile = 'hardened', defects = {} } = options;
  const cpu = hypervisor.processor;

  const listeners = new Set<(event: TraceEvent<Event>) => void>();
  if (options.onEvent !== undefined) listeners.add(options.onEvent);
  const emit = (event: TraceEvent<Event>): void => {
    for (const listener of listeners) listener(event);
  };

  const listen = (listener: (event: TraceEvent<Event>) => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };

  const physicalLimit = 2 ** (cpu.maxPhysicalAddressBits - 12);
  const ram = machineMemory(memoryMap);
  const addedMemory = placeAddedMemory(memoryMap, ADDED_FRAMES, physicalLimit);
  const snapshot = createOverlay({ base: options.memory });
  const added = createRam<Gfn>({ ranges: [addedMemory] });
  const memory = createMountedMemory<Gfn>({
    mounts: [
      { start: 0 as Gfn, frames: addedMemory.start, memory: snapshot, from: 0 as Gfn },
      {
        start: addedMemory.start,
        frames: addedMemory.end - addedMemory.start,
        memory: added,
        from: addedMemory.start,
      },
    ],
  });
  const host = layOutHost([
    ...ram.map((range) => ({ ...range, memory: snapshot })),
    { ...addedMemory, memory: added },
  ]);

  const virtualMachine = hypervisor.createVirtualMachine({
    host: { memory: host.memory, frames: createFrameAllocator<Pfn>({ ranges: [host.tables] }) },
    onEvent: (event) => emit({ from: 'hypervisor', event }),
  });
  for (const { start, end } of [...ram, addedMemory]) {
    virtualMachine.addMemory({
      start,
      frames: end - start,
      backing: host.backing(start),
      ...(options.hostPage === undefined ? {} : { largestLeaf: options.hostPage }),
    });
  }

  const cr3 = options.kernelRoot === undefined ? registers.cr3 : BigInt(addressOf(options.kernelRoot));
  const spuriousFaults = options.spuriousFaults ?? (profile === 'rfc-v2' ? 'for-ever' : 'once');
  const vcpu = virtualMachine.createVcpu({
    registers: {
      ...registers,
      ...(cr3 === undefined ? {} : { cr3 }),
      // The kernel runs: the snapshot may have been taken while a user program did.
      cpl: 0,
      codeSegment64: true,
      rflags: (registers.rflags ?? RFLAGS_ALWAYS_SET) & ~RFLAGS_AC,
    },
    onException: createExceptionHandler({ memory, cpu, spuriousFaults }),
    onEvent: (event) => emit({ from: 'vcpu', event }),
  });

  const kernel = createKernel(options, memory, vcpu.registers, addedMemory);
  const driverMemory: DriverMemory = {
    memory,
    allocatePage: () => kernel.allocatePage(false)?.frame,
    freePage: (frame) => kernel.freePage(pageAt(frame)),
    store: (frame, offset, bytes) => kernel.store(pageAt(frame), offset, bytes),
  };
  const guest: HekiGuestOptions = {
    kernel,
    profile,
    defects,
    ...(options.kernelConfig === undefined ? {} : { config: options.kernelConfig }),
  };
  // A kernel without Heki has no driver for it either. A core that is switched off tells, and does nothing.
  const built = createHekiGuest({ ...guest, enabled: false }).earlyInit().outcome !== 'not-built';
  const heki = createHekiGuest({
    ...guest,
    enabled: options.heki ?? true,
    onEvent: (event) => emit({ from: 'guest', event }),
  });

  return {
    profile,
    capabilities: hypervisor.capabilities,
    virtualMachine,
    vcpu,
    memory,
    addedMemory,
    heki,
    earlyInit() {
      emit({ from: 'machine', event: { type: 'boot', step: 'init-platform' } });
      if (!built) return heki.earlyInit();
      (options.driver ?? initHekiOnKvm)(heki, {
        vcpu: () => vcpu,
        memory: driverMemory,
        profile,
        defects,
        onWarning: (text) => emit({ from: 'machine', event: { type: 'driver-warning', text } }),
      });
      emit({ from: 'machine', event: { type: 'boot', step: 'early-init' } });
      return heki.earlyInit();
    },
    lateInit() {
      emit({ from: 'machine', event: { type: 'boot', step: 'late-init' } });
      return heki.lateInit();
    },
    attack: (attack, targets) =>
      performAttack({
        attack,
        targets,
        vcpu,
        memory,
        listen,
        emit: (event) => emit({ from: 'machine', event }),
      }),
    listen,
  };
}

/** A page that is known by its frame: what it is mapped at plays no part here. */
function pageAt(frame: Gfn): KernelPage {
  return { frame, address: 0n as VirtualAddress };
}

/** What the Heki core needs of the kernel around it. */
function createKernel(
  options: Pick<MachineOptions<VirtualMachine, BackendEvent>, 'memoryMap' | 'directMap'>,
  memory: HekiKernel['memory'],
  registers: { readonly cr3: bigint; readonly cr4: bigint },
  addedMemory: FrameRange<Gfn>,
): HekiKernel {
  const { memoryMap, directMap } = options;
  const levels = (registers.cr4 & CR4.LA57) === 0n ? 4 : 5;
  // Only addresses of list pages are made from it.
  const base = virtualAddressOf(PUBLISHED_LAYOUT[levels].directMap.start);
  const frames = createFrameAllocator({ ranges: [addedMemory] });
  return {
    memory,
    pageTableRoot: Number(BigInt.asUintN(52, registers.cr3) >> 12n) as Gfn,
    levels,
    // pfn_valid holds for whole sections of 128 MiB, holes in them included.
    validFrames: [{ start: 0 as Gfn, end: memoryMap.ramEnd }],
    ramFrames: machineMemory(memoryMap),
    ...(directMap === undefined ? {} : { directMap }),
    allocatePage() {
      const frame = frames.allocate();
      if (frame === undefined) return undefined;
      return { frame, address: (base + BigInt(addressOf(frame))) as VirtualAddress };
    },
    freePage: ({ frame }) => frames.free(frame),
    // The snapshot's page tables do not map the added RAM, and mapping it would change what is measured.
    store: ({ frame }, offset, bytes) =>
      writeBytes(memory, (addressOf(frame) + offset) as Gpa, bytes.subarray(0, PAGE_SIZE - offset)) ===
      bytes.length,
  };
}
