import { type Gfn, hex, PAGE_SIZE } from '@heki/physical-memory';
import { addressHigh, EntryLow, entryFrame, entryIndex, isLeaf, type Level } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Occurrence, Severity } from '../finding.ts';
import type { PlaceName } from '../mapping.ts';
import {
  framesOf,
  occurrenceOfFrames,
  occurrenceOfMappings,
  occurrenceWithoutMemory,
  pagesText,
} from '../occurrence.ts';
import { isOfImage } from '../within.ts';

/** Parts of the image, and how bad it is when a page of theirs lies elsewhere. */
const PARTS: ReadonlyMap<PlaceName, Severity> = new Map([
  ['kernel text', 'critical'],
  ['kernel rodata', 'critical'],
  ['kernel data', 'high'],
  // Linux clears what early boot mapped around the image (cleanup_highmap); freed parts of it may lie there.
  ['kernel image window', 'high'],
]);

export const IMAGE_REMAPPED: FindingKind = {
  id: 'heki/image-remapped',
  title: "An address of the kernel's image leads to a foreign frame",
  worst: 'critical',
  explanation:
    "The image is mapped in one piece: every address is as far from its frame as all others. This one leads elsewhere: the frame that holds the kernel's text or constants was exchanged for another.",
  attack:
    'Permissions of frames say nothing against it: the attacker edits one page-table entry, and the kernel runs or reads a page of his choice. Second-level permissions do not stop it either; HLAT exists for it.',
  legitimate: 'Nothing: Linux never maps parts of its image elsewhere.',
  advice:
    'Treat the guest as compromised. Compare the page that the address leads to with the one that belongs there.',
  *find(kernel) {
    const { distance } = kernel.sections;
    const elsewhere = kernel.mappings.filter(
      (one) => PARTS.has(one.region) && one.virtualFrame - one.guestFrame !== distance,
    );
    for (const [region, severity] of PARTS) {
      const strayed = elsewhere.filter((mapping) => mapping.region === region);
      if (strayed.length === 0) continue;
      const summary = `${pagesText(framesOf(strayed))} at addresses of the ${region.replace('kernel ', "kernel's ")} lead to other frames than the image has there.`;
      yield occurrenceOfMappings(kernel, strayed, { severity, summary });
    }
    yield* movedImage(kernel);
  },
};

/**
 * An image that was led elsewhere as a whole, so that no page of it strays: what Linux builds into the image is left where it was.
 */
function* movedImage(kernel: AuditedKernel): Generator<Occurrence> {
  const { tables, sections, iomem = [] } = kernel;
  const code = iomem.find((line) => line.trim().endsWith(' : Kernel code'));
  const told = code === undefined ? undefined : Math.floor(Number.parseInt(code.trim(), 16) / PAGE_SIZE);
  // Where the map itself told the sections, the text that was seen has to lie there.
  const text = sections.from === 'memory-map' ? tables.text.frame : sections.text.start - sections.distance;
  const isThere =
    sections.from === 'memory-map'
      ? tables.text.virtualFrame >= sections.text.start && tables.text.virtualFrame < sections.text.end
      : told === text;
  if (told !== undefined && !isThere) {
    const summary = `The kernel's text is at ${hex(text * PAGE_SIZE)}; by the guest's own memory map it is at ${hex(told * PAGE_SIZE)}.`;
    yield occurrenceWithoutMemory('the image and the memory map', 'critical', summary);
  }
  const tablesOutside = tablesOfImage(kernel).filter((frame) => !isOfImage(kernel, frame));
  if (tablesOutside.length === 0) return;
  const ranges = tablesOutside.map((start) => ({ start, end: (start + 1) as Gfn }));
  const summary = `Of the page tables that map the kernel's image, which are a part of it (level3_kernel_pgt, level2_kernel_pgt), ${tablesOutside.length} ${tablesOutside.length === 1 ? 'is' : 'are'} not in it: the image, or the tables, were exchanged.`;
  yield occurrenceOfFrames(ranges, { severity: 'critical', summary, place: 'the tables of the image' });
}

/** The tables on the way to the text, without the root and the last level: Linux has them built in. */
function tablesOfImage({ tables }: AuditedKernel): Gfn[] {
  const addressBits = addressHigh(tables.encryptionBit);
  const found: Gfn[] = [];
  let table: Gfn = tables.root;
  for (let level: Level = tables.levels; level > 2; level = (level - 1) as Level) {
    const slot = 2 * entryIndex(tables.text.virtualFrame, level);
    const page = tables.memory.page(table);
    const low = page?.[slot] ?? 0;
    if ((low & EntryLow.P) === 0 || isLeaf(low, level)) return found;
    table = entryFrame(low, page?.[slot + 1] ?? 0, addressBits);
    found.push(table);
  }
  return found;
}

export const DIRECT_MAP_REMAPPED: FindingKind = {
  id: 'heki/direct-map-remapped',
  title: 'An address of the direct map leads to a foreign frame',
  worst: 'high',
  explanation:
    'In the direct map every frame lies as far from its start as from physical address 0. This address leads to another frame.',
  attack:
    'Whatever the kernel believes to read or write through the direct map (page tables, slabs, page cache) is exchanged, without a change to any permission.',
  legitimate: 'Nothing: Linux removes mappings from the direct map, and never leads one elsewhere.',
  advice:
    'Treat the guest as compromised. Read both frames, the one that belongs there and the one that is there.',
  *find(kernel) {
    const { start } = kernel.tables.directMap;
    const strayed = kernel.mappings.filter(
      (mapping) => mapping.region === 'direct map' && mapping.virtualFrame - mapping.guestFrame !== start,
    );
    if (strayed.length === 0) return;
    const summary = `${pagesText(framesOf(strayed))} of the direct map lead to other frames than their own.`;
    yield occurrenceOfMappings(kernel, strayed, { severity: 'high', summary });
  },
};
