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
import { createAskHypervisor } from './attacks/ask.ts';
import { createAttacker } from './attacks/attacker.ts';
import { performAttack } from './attacks/perform-attack.ts';
import { snapshotDefects } from './defects.ts';
import { MachineError } from './error.ts';
import type { TraceEvent } from './event.ts';
import { framesOutside, layOutHost, machineMemory, memorySlots, placeAddedMemory } from './layout.ts';
import type { Machine, MachineOptions } from './machine.ts';
import { checkDefects } from './specification/defect-fault.ts';
import { machineSettings } from './specification/machine-specification.ts';

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
 * @throws {MachineError} when the memory map has no RAM, more ranges of it than a virtual machine has slots, or no room for the RAM that is added, for registers of a processor that walks
 *   the kernel's tables with another number of levels, and for a defect that the guest and the hypervisor do not have
 */
export function createMachine<VM extends VirtualMachine, Event extends BackendEvent>(
  options: MachineOptions<VM, Event>,
): Machine<VM> {
  const { hypervisor, kernel: _, memoryMap, registers, ...specification } = options;
  const settings = machineSettings(specification);
  const { profile, defects } = settings;
  checkDefects(defects, hypervisor, snapshotDefects);
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
  const snapshot = createOverlay({ base: options.contents ?? options.kernel.memory });
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
    ...ram.map(({ start, end }) => ({ start, end, memory: snapshot })),
    { ...addedMemory, memory: added },
  ]);

  const virtualMachine = hypervisor.createVirtualMachine({
    host: { memory: host.memory, frames: createFrameAllocator<Pfn>({ ranges: [host.tables] }) },
    onEvent: (event) => emit({ from: 'hypervisor', event }),
  });
  for (const { start, end } of memorySlots([...ram, addedMemory])) {
    virtualMachine.addMemory({
      start,
      frames: end - start,
      backing: host.backing(start),
      largestLeaf: options.hostPage,
    });
  }

  const tables = tablesOf(options, addedMemory);
  if (tables.encryptionBit !== cpu.encryptionBit) {
    throw new MachineError(
      `the kernel's page tables have ${bitText(tables.encryptionBit)}, and the processor ${cpu.name} ${bitText(cpu.encryptionBit)}: expected the same of both`,
    );
  }
  const vcpu = virtualMachine.createVcpu({
    registers: {
      ...registers,
      cr3: BigInt(addressOf(tables.pageTableRoot)),
      // The kernel runs: the snapshot may have been taken while a user program did.
      cpl: 0,
      codeSegment64: true,
      rflags: (registers.rflags ?? RFLAGS_ALWAYS_SET) & ~RFLAGS_AC,
    },
    onException: createExceptionHandler({ ...settings, memory, cpu }),
    onEvent: (event) => emit({ from: 'vcpu', event }),
  });

  const kernel = createKernel(tables, memory, options, addedMemory);
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
    config: options.kernelConfig,
  };
  // A kernel without Heki has no driver for it either. A core that is switched off tells, and does nothing.
  const built = createHekiGuest({ ...guest, enabled: false }).earlyInit().outcome !== 'not-built';
  const heki = createHekiGuest({
    ...guest,
    enabled: options.heki ?? true,
    onEvent: (event) => emit({ from: 'guest', event }),
  });

  const askHypervisor = createAskHypervisor({ heki, memory: driverMemory });

  return {
    profile,
    capabilities: hypervisor.capabilities,
    virtualMachine,
    vcpu,
    memory,
    hostFrame: host.backing,
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
        askHypervisor,
        listen,
        emit: (event) => emit({ from: 'machine', event }),
      }),
    attacker: () =>
      createAttacker({
        vcpu,
        memory,
        directMap: virtualAddressOf(tables.directMap.start),
        askHypervisor,
        listen,
      }),
    listen,
  };
}

function bitText(encryptionBit: number | undefined): string {
  return encryptionBit === undefined ? 'no C-bit' : `the C-bit ${encryptionBit}`;
}

/** A page that is known by its frame: what it is mapped at plays no part here. */
function pageAt(frame: Gfn): KernelPage {
  return { frame, address: 0n as VirtualAddress };
}

/** The last page of the added memory, which is never written. */
function emptyPage({ end }: FrameRange<Gfn>): Gfn {
  return (end - 1) as Gfn;
}

/** What the Heki core must know of the kernel's page tables. */
type KernelTables = Pick<HekiKernel, 'pageTableRoot' | 'levels' | 'directMap' | 'encryptionBit'>;

/** The page tables of the kernel: its own, or an empty one in the added memory where none are known. */
function tablesOf(
  { kernel, registers }: Pick<MachineOptions<VirtualMachine, BackendEvent>, 'kernel' | 'registers'>,
  addedMemory: FrameRange<Gfn>,
): KernelTables {
  const cr4 = registers.cr4 ?? CR4.PAE;
  const levels = (cr4 & CR4.LA57) === 0n ? 4 : 5;
  if (kernel.root === undefined) {
    const { start } = PUBLISHED_LAYOUT[levels].directMap;
    return { pageTableRoot: emptyPage(addedMemory), levels, directMap: { start, end: start } };
  }
  if (kernel.levels !== levels) {
    throw new MachineError(
      `registers.cr4 is 0x${cr4.toString(16)}, for ${levels} levels of page tables: expected the ${kernel.levels} of the kernel's`,
    );
  }
  const { root: pageTableRoot, directMap, encryptionBit } = kernel;
  return { pageTableRoot, levels, directMap, encryptionBit };
}

/** What the Heki core needs of the kernel around it. */
function createKernel(
  tables: KernelTables,
  memory: HekiKernel['memory'],
  {
    memoryMap,
    crashKernel = [],
  }: Pick<MachineOptions<VirtualMachine, BackendEvent>, 'memoryMap' | 'crashKernel'>,
  addedMemory: FrameRange<Gfn>,
): HekiKernel {
  // Only addresses of list pages are made from it.
  const base = virtualAddressOf(PUBLISHED_LAYOUT[tables.levels].directMap.start);
  const frames = createFrameAllocator({ ranges: [{ ...addedMemory, end: emptyPage(addedMemory) }] });
  return {
    ...tables,
    memory,
    // pfn_valid holds for whole sections of 128 MiB, holes in them included.
    validFrames: [{ start: 0 as Gfn, end: memoryMap.ramEnd }],
    ramFrames: machineMemory(memoryMap),
    // What is final in a snapshot is not known, but for what surely is not.
    ...(crashKernel.length === 0 ? {} : { finalFrames: framesOutside(crashKernel, memoryMap.ramEnd) }),
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
