import { HekiCommand, leafPermissions, type NamedLeaf } from '@heki/guest';
import {
  HEKI_ATTRIBUTE_IMMUTABLE,
  KvmHypercall,
  MEM_ATTR_EXEC,
  MEM_ATTR_PROT,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  permissionText,
} from '@heki/hypercall/kvm';
import { createKvm, type KvmStatistics, type KvmVirtualMachine } from '@heki/kvm';
import {
  createMachine,
  createRightsTally,
  type Machine,
  type MachineSettings,
  type MachineSpecification,
  machineSettings,
  type RightsComparison,
} from '@heki/machine';
import { createMemoryTable } from '@heki/memory-table';
import { createMemoryMap, createRam, type Gfn } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import { InputError } from '../failure.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import type { RecordedCall } from './recording.ts';

/** What a kernel's life is replayed on. */
export interface ReplaySettings extends Pick<MachineSpecification, 'profile' | 'defects' | 'mbec'> {
  /** Called now and then with the number of calls made so far. */
  readonly onProgress?: (calls: number) => void;
}

/** Frames that ended alike. Rights as `r-x`: of the kernel, not of user code. */
export interface EndState {
  /** What the second-level tables grant, read back from KVM. */
  readonly effective: string;
  /** What the counters say that the page's mappings need. */
  readonly wanted: string;
  readonly immutable: boolean;
  readonly frames: number;
}

/** The outcome of a kernel's life. */
export interface ReplayReport extends Pick<MachineSettings, 'profile' | 'defects' | 'mbec'> {
  readonly calls: number;
  /** Hypercalls 14. */
  readonly hypercalls: number;
  /** Hooks that told the kernel of a failure: under `rfc-v2` none ever does (B-G3). */
  readonly failedHooks: number;
  readonly ranges: Readonly<KvmStatistics['ranges']>;
  /** Over all frames that protect sent, most frames first. */
  readonly end: readonly EndState[];
  /** What frames are granted beside what their mappings need. */
  readonly rights: Omit<RightsComparison, 'frames' | 'sampled'>;
}

/** Linux's section size: pfn_valid holds for whole sections. */
const SECTION_FRAMES = 2 ** 15;
const PROGRESS_EVERY = 512;

/**
 * Makes the recorded calls of a Heki core that runs on KVM, and reads back what they led to. The kernel's own page
 * tables are not in a recording: each call brings the mappings that its walk met.
 *
 * @throws {InputError} when the recording never protects, or speaks of frames above 4 TiB
 */
export function replayRecording(calls: readonly RecordedCall[], settings: ReplaySettings): ReplayReport {
  const protectedLeaves = calls
    .filter(({ command }) => command === HekiCommand.PROTECT_MEMORY)
    .flatMap(({ leaves }) => leaves);
  if (protectedLeaves.length === 0) {
    throw new InputError('the recording has no protect call with mappings: nothing was ever enforced');
  }
  const { profile, defects, mbec } = machineSettings(settings);
  const memoryEnd = endOfMemory(calls);
  const ram = { start: 0 as Gfn, end: memoryEnd };
  const machine = createMachine({
    hypervisor: createKvm({ profile, defects, mbec }),
    kernel: { memory: createRam<Gfn>({ ranges: [ram] }), root: undefined },
    memoryMap: createMemoryMap([{ ...ram, type: 'ram' }]),
    // Hypercalls are made from 64-bit mode at CPL 0.
    registers: {
      cr0: CR0.PG | CR0.WP | CR0.ET | CR0.PE,
      cr4: CR4.PAE | CR4.SMEP | CR4.SMAP | CR4.UMIP,
      efer: EFER.NXE | EFER.LMA | EFER.LME | EFER.SCE,
    },
    profile,
    // The published hooks do not tell that set_memory_* changed the alias in the direct map, too: a core that counts
    // the direct map would take module text for writable there for ever.
    defects: { ...defects, 'B-G5': true },
    // With large pages, B-H8 would decide what a page is granted, too: only the hooks' effect is wanted here.
    hostPage: 1,
  });
  machine.earlyInit();

  let failedHooks = 0;
  for (const [index, { command, leaves, change }] of calls.entries()) {
    if (index % PROGRESS_EVERY === 0) settings.onProgress?.(index);
    if (machine.heki.applyLeaves(command, leaves, change) !== 0) failedHooks++;
  }
  settings.onProgress?.(calls.length);

  const { statistics } = machine.virtualMachine;
  const end = new Map<number, number>();
  const tally = createRightsTally(machine.capabilities);
  forEachProtected(machine, protectedLeaves, ({ start, end: until, granted, wanted, immutable }) => {
    // MEM_ATTR bits are those of `KernelRights`.
    tally.add({ start, end: until, allowed: wanted, granted });
    const key = granted | (wanted << 4) | (immutable ? 1 << 8 : 0);
    end.set(key, (end.get(key) ?? 0) + until - start);
  });
  return {
    profile,
    defects,
    mbec,
    calls: calls.length,
    hypercalls: statistics.hypercalls.get(KvmHypercall.PROTECT_MEMORY) ?? 0,
    failedHooks,
    ranges: statistics.ranges,
    end: [...end]
      .map(([key, frames]) => ({
        effective: permissionText(key & MEM_ATTR_PROT),
        wanted: permissionText((key >>> 4) & MEM_ATTR_PROT),
        immutable: key >>> 8 !== 0,
        frames,
      }))
      .sort((a, b) => b.frames - a.frames),
    rights: tally.result(),
  };
}

/** A run of frames that ended alike; rights as MEM_ATTR bits. */
interface EndRun {
  readonly start: Gfn;
  readonly end: Gfn;
  readonly granted: number;
  readonly wanted: number;
  readonly immutable: boolean;
}

/**
 * Reads back what became of every frame that `leaves` name, in ascending order: one look for each run of frames that were named by one leaf
 * first and whose attributes and counters are equal. With host pages of 4 KiB, nothing else makes a difference.
 */
function forEachProtected(
  { virtualMachine, heki }: Pick<Machine<KvmVirtualMachine>, 'virtualMachine' | 'heki'>,
  leaves: readonly NamedLeaf[],
  visit: (run: EndRun) => void,
): void {
  const named = createMemoryTable<NamedLeaf>();
  for (const leaf of leaves) {
    const end = (leaf.guestFrame + leaf.frames) as Gfn;
    named.update(leaf.guestFrame, end, (first = leaf) => first);
  }
  for (const { start, end, value: leaf } of named.extents()) {
    virtualMachine.attributes.forEach(start, end, (from, to, attributes) => {
      const rights = virtualMachine.effectiveRights(from);
      const granted =
        (rights?.read === true ? MEM_ATTR_READ : 0) |
        (rights?.write === true ? MEM_ATTR_WRITE : 0) |
        (rights?.supervisorExecute === true ? MEM_ATTR_EXEC : 0);
      const immutable = (attributes & HEKI_ATTRIBUTE_IMMUTABLE) !== 0;
      heki.forEachPermissions(from, to, (permissions, first, last, counted) => {
        // An immutable page without counters is known to the direct map alone (B-G6): its mapping there says what it needs.
        const needed = immutable && !counted ? leafPermissions(leaf.low, leaf.high) : permissions;
        // Reading is never denied (B-H18), so every page counts as wanting it.
        visit({ start: first, end: last, granted, wanted: needed | MEM_ATTR_READ, immutable });
      });
    });
  }
}

/** One past the last frame that any call speaks of, in whole sections. */
function endOfMemory(calls: readonly RecordedCall[]): Gfn {
  let end = 0;
  for (const { leaves } of calls) {
    for (const { guestFrame, frames } of leaves) end = Math.max(end, guestFrame + frames);
  }
  if (end > COMMAND_LIMITS.recordedFrames) {
    throw new InputError(
      `the recording speaks of frame 0x${(end - 1).toString(16)}: expected frames below 0x${COMMAND_LIMITS.recordedFrames.toString(16)}`,
    );
  }
  return (Math.ceil(end / SECTION_FRAMES) * SECTION_FRAMES) as Gfn;
}
