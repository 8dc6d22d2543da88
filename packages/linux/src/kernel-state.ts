import type { HekiGuest } from '@heki/guest';
import {
  addressOf,
  type Gfn,
  type MemoryMap,
  type PhysicalMemory,
  type VirtualAddress,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { BootAllocator } from './boot/boot-allocator.ts';
import type { KernelParameters } from './boot/boot-parameters.ts';
import type { BpfPrograms } from './bpf/prog-pack.ts';
import type { LinuxDefectSwitches } from './defects/linux-defects.ts';
import type { LinuxEvent } from './event.ts';
import type { Ftrace } from './ftrace/ftrace.ts';
import type { HekiPlaces } from './heki/heki-symbols.ts';
import type { Kprobes } from './kprobes/kprobes.ts';
import type { KernelImage } from './layout/kernel-image.ts';
import type { KernelProfile } from './layout/kernel-profile.ts';
import type { AddressLayout } from './layout/layout.ts';
import type { AddedSection } from './memory-hotplug/memory-hotplug.ts';
import type { KernelMemory } from './mm/kernel-memory.ts';
import type { PageAllocator } from './mm/page-allocator.ts';
import type { PageTables } from './mm/page-tables.ts';
import type { ChangedLeaf } from './mm/settle-changes.ts';
import type { Vmalloc } from './mm/vmalloc.ts';
import type { ModuleImage, ModuleTextChanges } from './modules/modules.ts';
import type { Processors } from './smp/processors.ts';
import type { Turns } from './smp/turns.ts';
import type { TemporaryMm } from './text/text-poke.ts';

/** What the functions of the kernel share: its global variables. */
export interface KernelState {
  readonly profile: KernelProfile;
  readonly layout: AddressLayout;
  readonly parameters: KernelParameters;
  readonly memoryMap: MemoryMap<Gfn>;
  readonly image: KernelImage;
  /** The processor that the kernel runs on just now. */
  vcpu: Vcpu;
  readonly processors: Processors;
  readonly turns: Turns;
  /** Guest memory as hardware has it: for early boot, and for whoever only reads. */
  readonly physicalMemory: PhysicalMemory<Gfn>;
  readonly tables: PageTables;
  readonly boot: BootAllocator;
  readonly pages: PageAllocator;
  readonly vmalloc: Vmalloc;
  readonly heki: HekiGuest | undefined;
  /** Where Heki's variables and functions are in the image. */
  readonly hekiPlaces: HekiPlaces;
  /** Fills `heki.hypervisor`. */
  readonly initHypervisorPlatform: ((heki: HekiGuest) => void) | undefined;
  readonly defects: LinuxDefectSwitches;
  /** Jump labels in the kernel's own text. */
  readonly jumpLabels: readonly VirtualAddress[];
  /** Called for a module that is signed, before it is loaded. */
  readonly presentSignature: ((image: ModuleImage, changes: ModuleTextChanges) => void) | undefined;
  /** A change that makes a page writable and executable is refused, not only warned about. */
  readonly refuseWx: boolean;
  /** `undefined` without KASLR. */
  readonly kaslrSeed: number | undefined;
  readonly emit: (event: LinuxEvent) => void;

  /** How the kernel reaches memory just now. */
  memory: KernelMemory;
  /** Another kernel runs: this one has handed over. */
  over: boolean;
  /** One past the last frame of memory, with what was plugged in. */
  memoryEnd: Gfn;
  /** What was plugged in, the latest last. */
  readonly addedSections: AddedSection[];
  /** `slab_is_available`: frames come from the page allocator. */
  pagesReady: boolean;
  /** `system_state` is SYSTEM_BOOTING: until the first threads run. */
  booting: boolean;
  /** `kernel_set_to_readonly`. */
  setToReadonly: boolean;
  /** First frame of the real-mode trampoline. */
  trampoline: Gfn;
  readonly ftrace: Ftrace;
  readonly kprobes: Kprobes;
  readonly bpf: BpfPrograms;

  /** The access at hand has an entry in the exception table. */
  hasFixup: boolean;
  /** Leaves that the edit at hand has changed, and that Heki has been told of. */
  unsettled: ChangedLeaf[];

  /** `poking_mm`. */
  poking: TemporaryMm | undefined;
}

/** Where the direct map has a frame: `__va`. */
export function directAddress(layout: AddressLayout, frame: Gfn): VirtualAddress {
  return (virtualAddressOf(layout.directMap) + BigInt(addressOf(frame))) as VirtualAddress;
}
