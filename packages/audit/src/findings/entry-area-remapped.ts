import { virtualFrameOf } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { extentsOfFrames } from '../within.ts';
import { IDT_ADDRESS } from './descriptor-frames.ts';
import { isForeignTo } from './foreign-frames.ts';

/** Pages without a mapping between what two CPUs have; within one there are fewer (stacks that only SEV-ES guests have). */
const GAP_BETWEEN_CPUS = 16;
/** Pages of one of the two buffers that the debug store of an Intel processor has (BTS_BUFFER_SIZE, PEBS_BUFFER_SIZE). */
const DEBUG_BUFFER = 16;
/** The GDT and the entry stack come first, a page each. */
const SINGLE_PAGES = 2;
/** How far apart what is shown of one per-CPU area may be: in Debian's kernels 24 pages. */
const PER_CPU_PAGES = 128;

export const ENTRY_AREA_REMAPPED: FindingKind = {
  id: 'heki/entry-area-remapped',
  title: 'An address of cpu_entry_area leads to a foreign frame',
  worst: 'high',
  explanation:
    'cpu_entry_area shows for each CPU its GDT, the stack by which it enters the kernel, its TSS with the I/O bitmap, and the stacks of exceptions: pages of its per-CPU area, near each other, each once, and those of one object behind each other. Here one leads elsewhere, or to what another region maps, too.',
  attack:
    'A TSS of his own gives the attacker the stacks of exceptions, a GDT its call gates, an entry stack the return addresses of every system call and interrupt.',
  legitimate:
    'Nothing. The buffers of the debug store of Intel processors and areas that vmalloc maps (percpu_alloc=page), which may lie anywhere, are passed over.',
  advice:
    'Treat the guest as compromised. Compare with the entry area of another CPU (heki walk --range), and look at the page that the address leads to.',
  *find(kernel) {
    const isOther = isForeignTo(kernel, 'cpu_entry_area');
    const isForeign = ({ guestFrame }: Mapping): boolean =>
      extentsOfFrames(kernel.extents, [guestFrame]).some(isOther);
    const strayed = entryAreas(kernel)
      .filter((area) => !isFromVmalloc(kernel, area))
      .flatMap((area) => {
        const strayed = strayedOf(area);
        return area.filter((one) => strayed.has(one) || isForeign(one));
      });
    if (strayed.length === 0) return;
    const summary = `${pagesText(strayed.length)} of cpu_entry_area ${strayed.length === 1 ? 'leads' : 'lead'} to other frames than Linux has there.`;
    yield occurrenceOfMappings(kernel, strayed, { severity: 'high', summary });
  },
};

/** What each CPU has in cpu_entry_area, without the IDT, which all share, and without debug buffers. */
function entryAreas({ mappings }: AuditedKernel): Mapping[][] {
  const idt = virtualFrameOf(IDT_ADDRESS);
  const own = mappings.filter(
    ({ region, virtualFrame }) => region === 'cpu_entry_area' && virtualFrame !== idt,
  );
  const areas: Mapping[][] = [];
  let last: Mapping | undefined;
  for (const piece of piecesOf(own).filter(({ length }) => length < DEBUG_BUFFER)) {
    for (const mapping of piece) {
      if (last === undefined || mapping.virtualFrame - last.virtualFrame >= GAP_BETWEEN_CPUS) areas.push([]);
      areas.at(-1)?.push(mapping);
      last = mapping;
    }
  }
  return areas;
}

/** `mappings`, which ascend, in pieces of pages that lie behind each other at both sides, with the same rights. */
function piecesOf(mappings: readonly Mapping[]): Mapping[][] {
  const pieces: Mapping[][] = [];
  let last: Mapping | undefined;
  for (const mapping of mappings) {
    if (last === undefined || !isBehind(mapping, last) || mapping.guestFrame - last.guestFrame !== 1)
      pieces.push([]);
    pieces.at(-1)?.push(mapping);
    last = mapping;
  }
  return pieces;
}

/** Whether `mapping` is the next page of what `last` is a page of: between two objects are other rights, or a page that is not mapped. */
function isBehind(mapping: Mapping, last: Mapping): boolean {
  return mapping.virtualFrame - last.virtualFrame === 1 && mapping.rights === last.rights;
}

/** Of what one CPU has, the pages that are not near most others, that are shown twice, or that do not lie behind the page before. */
function strayedOf(area: readonly Mapping[]): Set<Mapping> {
  const near = (one: Mapping): readonly Mapping[] =>
    area.filter(({ guestFrame }) => Math.abs(guestFrame - one.guestFrame) <= PER_CPU_PAGES);
  const most = area.reduce<readonly Mapping[]>((best, one) => {
    const found = near(one);
    return found.length > best.length ? found : best;
  }, []);
  const strayed = new Set(area.filter((one) => !most.includes(one)));
  const kept = area.filter((one) => !strayed.has(one));
  for (const [index, one] of kept.entries()) {
    const before = kept[index - 1];
    const page = one.virtualFrame - (area[0]?.virtualFrame ?? 0);
    if (kept.findIndex(({ guestFrame }) => guestFrame === one.guestFrame) < index) strayed.add(one);
    if (
      before !== undefined &&
      page > SINGLE_PAGES &&
      isBehind(one, before) &&
      one.guestFrame - before.guestFrame !== 1
    )
      strayed.add(one);
  }
  return strayed;
}

/** Whether vmalloc shows most of an area: then its pages were allocated one by one. */
function isFromVmalloc({ extents }: AuditedKernel, area: readonly Mapping[]): boolean {
  const shown = extentsOfFrames(
    extents,
    area.map(({ guestFrame }) => guestFrame),
  ).filter(({ mappings }) => mappings.some(({ region }) => region.startsWith('vmalloc')));
  return shown.length > area.length / 2;
}
