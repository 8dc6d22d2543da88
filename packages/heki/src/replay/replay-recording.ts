import { HekiCommand, leafPermissions } from '@heki/guest';
import {
  HEKI_ATTRIBUTE_IMMUTABLE,
  KvmHypercall,
  MEM_ATTR_EXEC,
  MEM_ATTR_PROT,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  permissionText,
} from '@heki/hypercall/kvm';
import type { Capabilities } from '@heki/hypervisor';
import { createKvm, type KvmStatistics } from '@heki/kvm';
import {
  type ComparedRange,
  createMachine,
  createRightsTally,
  type MachineSettings,
  type MachineSpecification,
  machineSettings,
  type RightsComparison,
} from '@heki/machine';
import { createMemoryMap, createRam, type Gfn } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import { InputError } from '../failure.ts';
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

/** What came of a kernel's life. */
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
/** Guest memory that a recording may speak of: 16 TiB. */
const MOST_FRAMES = 2 ** 32;
const PROGRESS_EVERY = 512;

/**
 * Makes the recorded calls of a Heki core that runs on KVM, and reads back what they led to. The kernel's own page
 * tables are not in a recording: each call brings the mappings that its walk met.
 *
 * @throws {InputError} when the recording never protects, or speaks of frames above 16 TiB
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

  const { statistics, attributes } = machine.virtualMachine;
  const end = new Map<number, number>();
  const stretches: ComparedRange[] = [];
  const seen = new Set<number>();
  for (const leaf of protectedLeaves) {
    const { guestFrame, frames } = leaf;
    for (let frame = guestFrame; frame < guestFrame + frames; frame++) {
      if (seen.has(frame)) continue;
      seen.add(frame);
      const rights = machine.virtualMachine.effectiveRights(frame as Gfn);
      const immutable = (attributes.get(frame as Gfn) & HEKI_ATTRIBUTE_IMMUTABLE) !== 0;
      // An immutable page without counters is known to the direct map alone (B-G6): its mapping there says what it needs.
      const wanted =
        immutable && machine.heki.counters(frame as Gfn) === undefined
          ? leafPermissions(leaf.low, leaf.high)
          : machine.heki.permissions(frame as Gfn);
      const granted =
        (rights?.read === true ? MEM_ATTR_READ : 0) |
        (rights?.write === true ? MEM_ATTR_WRITE : 0) |
        (rights?.supervisorExecute === true ? MEM_ATTR_EXEC : 0);
      // Nobody can be denied reading (B-H18), so every page counts as wanting it.
      stretches.push({
        start: frame as Gfn,
        end: (frame + 1) as Gfn,
        allowed: wanted | MEM_ATTR_READ,
        granted,
      });
      const key = granted | ((wanted | MEM_ATTR_READ) << 4) | (immutable ? 1 << 8 : 0);
      end.set(key, (end.get(key) ?? 0) + 1);
    }
  }
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
    rights: compared(machine.capabilities, stretches),
  };
}

/** MEM_ATTR bits are those of `KernelRights`. @param stretches in any order */
function compared(capabilities: Capabilities, stretches: ComparedRange[]): ReplayReport['rights'] {
  const tally = createRightsTally(capabilities);
  for (const stretch of stretches.sort((a, b) => a.start - b.start)) tally.add(stretch);
  return tally.result();
}

/** One past the last frame that any call speaks of, in whole sections. */
function endOfMemory(calls: readonly RecordedCall[]): Gfn {
  let end = 0;
  for (const { leaves } of calls) {
    for (const { guestFrame, frames } of leaves) end = Math.max(end, guestFrame + frames);
  }
  if (end > MOST_FRAMES) {
    throw new InputError(
      `the recording speaks of frame 0x${(end - 1).toString(16)}: expected frames below 0x${MOST_FRAMES.toString(16)}`,
    );
  }
  return (Math.ceil(end / SECTION_FRAMES) * SECTION_FRAMES) as Gfn;
}
