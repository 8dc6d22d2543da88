import { hex, PAGE_SIZE, type VirtualFrame } from '@heki/physical-memory';
import { type ProvenRoot, regionAt } from '@heki/vmcore';
import {
  addressHigh,
  CR4,
  EntryLow,
  entryFrame,
  framesOfLevel,
  type SharedTable,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { mappingAt } from '../mapping-at.ts';
import { framesOf, occurrenceOfMappings, occurrenceWithoutMemory, pagesText } from '../occurrence.ts';
import { Rights, rightsOf } from '../rights.ts';
import { cpuRoots, type OtherRoot } from '../root-tables.ts';
import { writesWhatIsSealed } from '../sealed.ts';
import { withoutKernelsOwn } from '../shared-tables.ts';

/** The first slot of the kernel's half in a root table. */
const KERNEL_SLOT = 256;
/** Page tables of one other address space that are read. */
const MOST_TABLES = 2 ** 16;
const WX = Rights.WRITE | Rights.EXECUTE;

export const KERNEL_HALF_DIFFERS: FindingKind = {
  id: 'heki/kernel-half-differs',
  title: 'An address space has another kernel half',
  worst: 'critical',
  explanation:
    "All address spaces share the kernel's half, and that of user mode under page-table isolation shows a part of it. One that a CPU stands on maps there what the kernel's own tables do not map, or with more rights.",
  attack:
    'Code and data that are mapped in one process only are seen by no walk that starts from swapper_pg_dir or another process; what user mode may access there, Meltdown or not, it reads.',
  legitimate:
    'The slot for LDTs under page-table isolation is of each process, and the firmware has its own regions in the address space by which EFI is called; a root may lack entries that are filled in when they are needed.',
  advice: 'Walk that address space (heki walk --cpu-index N --range) and look at what is behind the entry.',
  *find(kernel) {
    for (const other of cpuRoots(kernel).own) {
      const { mappings, absentTables, isWhole } = mappingsOfItsOwn(kernel, other);
      const isFirmware = (one: Mapping): boolean => one.region === 'EFI';
      for (const [part, what] of [
        [mappings.filter((one) => !isFirmware(one)), ''],
        [mappings.filter(isFirmware), ' of EFI'],
      ] as const) {
        if (part.length === 0) continue;
        const summary = `In ${other.name}, ${hex(other.root * PAGE_SIZE)}, ${pagesText(framesOf(part))}${what} of the kernel's half are mapped as nowhere in the kernel's own.`;
        yield occurrenceOfMappings(kernel, part, { severity: severityOf(kernel, part), summary });
      }
      if (absentTables > 0) {
        const summary = `In ${other.name}, ${hex(other.root * PAGE_SIZE)}, entries of its own lead to ${pagesText(absentTables)} of page tables that are not in the dump.`;
        yield occurrenceWithoutMemory('page tables', 'high', summary);
      }
      if (!isWhole) {
        const summary = `In ${other.name}, ${hex(other.root * PAGE_SIZE)}, entries of its own lead to more page tables than are read.`;
        yield occurrenceWithoutMemory('too many page tables', 'high', summary);
      }
    }
  },
};

export const FOREIGN_ROOT: FindingKind = {
  id: 'heki/foreign-root',
  title: "A CPU stands on page tables that are not this kernel's",
  worst: 'medium',
  explanation:
    "CR3 of a CPU leads to a page in which neither the kernel's text nor the IDT is where the kernel has them: what it maps was not looked at.",
  attack: 'A CPU that runs something else beside the kernel is seen by nothing that starts from the kernel.',
  legitimate:
    'A guest of the kernel itself (KVM in it) was running, or a call of the firmware, when the dump was made.',
  advice: 'Dump the guest again. If the CPU is there again, look at its RIP and at that page.',
  *find(kernel) {
    for (const { name, root } of cpuRoots(kernel).foreign) {
      const hosts = kernel.cpus.some(({ cr4 }) => (cr4 & CR4.VMXE) !== 0n);
      const summary = `CR3 leads ${name} to ${hex(root * PAGE_SIZE)}, which is not a page table of this kernel.`;
      yield occurrenceWithoutMemory('CR3', hosts ? 'info' : 'medium', summary);
    }
  },
};

/** Where an address that leads elsewhere in one address space has the kernel run or believe something else there. */
const TRUSTED: readonly string[] = ['kernel text', 'kernel rodata', 'cpu_entry_area'];

function severityOf(kernel: AuditedKernel, mappings: readonly Mapping[]): Severity {
  const isWorst = (one: Mapping): boolean =>
    (one.rights & Rights.USER) !== 0 || TRUSTED.includes(one.region) || writesWhatIsSealed(kernel, one);
  if (mappings.some(isWorst)) return 'critical';
  if (mappings.every(({ region }) => region === 'EFI')) return 'medium';
  return mappings.some(({ rights }) => (rights & WX) === WX) ? 'critical' : 'high';
}

/** What `other` maps in the kernel's half that the kernel's own tables do not map so. */
interface OwnPart {
  readonly mappings: readonly Mapping[];
  /** Tables there that the dump lacks. */
  readonly absentTables: number;
  /** All of it was looked at. */
  readonly isWhole: boolean;
}

function mappingsOfItsOwn(kernel: AuditedKernel, other: OtherRoot): OwnPart {
  const { tables, regions } = kernel;
  const mappings: Mapping[] = [];
  let absentTables = 0;
  let isWhole = true;
  let budget = MOST_TABLES;
  const walk = (start: VirtualFrame, frames: number, sharedTables: 'once' | 'each'): SharedTable[] => {
    const shared: SharedTable[] = [];
    const onShared = (place: SharedTable): void => {
      if (shared.length < MOST_TABLES) shared.push(place);
      else isWhole = false;
    };
    const walked = walkMappings(
      { ...tables, root: other.root, budget, sharedTables, onShared },
      start,
      (start + frames) as VirtualFrame,
      (leaf) => {
        const region = regionAt(regions, leaf.virtualFrame);
        const mapping = { ...leaf, rights: rightsOf(leaf.effective), region };
        if (!isLdt(mapping) && !isInKernel(kernel, mapping)) mappings.push(mapping);
      },
    );
    budget -= walked.tables;
    isWhole &&= walked.stoppedAt === undefined;
    if (regionAt(regions, start) !== 'LDT remap') absentTables += walked.absentTables;
    return shared;
  };
  const span = framesOfLevel(tables.levels);
  for (let slot = KERNEL_SLOT; slot < 512; slot++) {
    if (hasSameEntry(tables, other, slot)) continue;
    const start = (upperHalfStart(tables.levels) + (slot - KERNEL_SLOT) * span) as VirtualFrame;
    // A table that stands at two places is the kernel's own at one of them, mostly.
    const passedOver = withoutKernelsOwn({ ...tables, root: other.root }, regions, walk(start, span, 'once'));
    for (const { virtualFrame, frames } of passedOver) walk(virtualFrame, frames, 'each');
  }
  return { mappings, absentTables, isWhole };
}

/** The LDT of a process is mapped read-only, and for the kernel alone (map_ldt_struct). */
function isLdt({ region, rights }: Mapping): boolean {
  return region === 'LDT remap' && rights === Rights.READ;
}

/** Whether the kernel's own tables map all of `mapping` to the same frames, with no fewer rights. */
function isInKernel({ mappings }: AuditedKernel, mapping: Mapping): boolean {
  const end = mapping.virtualFrame + mapping.frames;
  for (let at: number = mapping.virtualFrame; at < end; ) {
    const own = mappingAt(mappings, at as VirtualFrame);
    if (own === undefined) return false;
    const distance = own.virtualFrame - own.guestFrame;
    if (distance !== mapping.virtualFrame - mapping.guestFrame) return false;
    if ((mapping.rights & ~own.rights) !== 0) return false;
    at = own.virtualFrame + own.frames;
  }
  return true;
}

/** Whether `slot` of `other` is empty, or as in the kernel's root but for the bits that a processor sets by itself. */
function hasSameEntry({ memory, root, encryptionBit }: ProvenRoot, other: OtherRoot, slot: number): boolean {
  const ours = memory.page(root);
  const theirs = memory.page(other.root);
  const [low = 0, high = 0] = [theirs?.[2 * slot], theirs?.[2 * slot + 1]];
  if ((low & EntryLow.P) === 0) return true;
  const [ownLow = 0, ownHigh = 0] = [ours?.[2 * slot], ours?.[2 * slot + 1]];
  const set = EntryLow.A | EntryLow.D;
  const addressBits = addressHigh(encryptionBit);
  return (
    (low | set) === (ownLow | set) &&
    entryFrame(low, high, addressBits) === entryFrame(ownLow, ownHigh, addressBits) &&
    high >>> 31 === ownHigh >>> 31
  );
}
