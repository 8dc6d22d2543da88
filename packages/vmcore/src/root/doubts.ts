import { hex, joinedRanges, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import { type Range, without } from '../range.ts';
import type { Vmcore } from '../vmcore.ts';
import { GIB_FRAMES, KERNEL_MAP, mappedFrame } from './kernel-tables.ts';
import type { ProvenRoot } from './proven-root.ts';

/** What does not go together with a root that was proven all the same. */
export interface RootDoubt {
  /** Names the kind, for programs, and stays the same. */
  readonly id:
    | 'partial-direct-map'
    | 'stray-direct-map'
    | 'second-direct-map'
    | 'stray-text'
    | 'tables-outside-direct-map'
    | 'no-cpu-on-kernel'
    | 'root-by-structure'
    | 'rival-roots'
    | 'swapper-refused'
    | 'vmcoreinfo-symbol';
  /** One sentence for people, without a full stop. */
  readonly message: string;
}

/** Addresses that a doubt lists; the rest is counted. */
const MOST_RIVALS = 4;

/** Ranges of memory that a dump holds and no kernel maps are those of firmware and video memory: a small part. */
const MOST_UNMAPPED = 1 / 4;

function framesOf(start: number, end: number): Range {
  return { start: Math.floor(start / PAGE_SIZE), end: Math.ceil(end / PAGE_SIZE) };
}

function sum(ranges: readonly Range[]): number {
  return ranges.reduce((total, { start, end }) => total + (end - start), 0);
}

/** What a reader of results about `kernel` must know. */
export function doubtsAbout(core: Vmcore, kernel: ProvenRoot): RootDoubt[] {
  const doubts: RootDoubt[] = [];
  const { directMap, otherDirectMaps, tablePages, origin } = kernel;
  if (otherDirectMaps.length > 0) {
    const [here, there] = [directMap.start, ...otherDirectMaps].map((at) => hex(virtualAddressOf(at)));
    doubts.push({
      id: 'second-direct-map',
      message: `page tables are mapped at ${there} as they are in the direct map at ${here}: the kernel was attacked; that the latter is its own is told by how it is made alone`,
    });
  }
  if (directMap.strayPages > 0) {
    doubts.push({
      id: 'stray-direct-map',
      message: `${directMap.strayPages === 1 ? '1 page in the direct map leads to another frame than its own' : `${directMap.strayPages} pages in the direct map lead to other frames than their own`}: the dump is damaged, or the kernel was attacked`,
    });
  }
  const held = joinedRanges(core.segments.map(({ start, end }) => framesOf(start, end)));
  const pages = sum(held);
  const unmapped = sum(without(held, directMap.frames));
  if (unmapped > pages * MOST_UNMAPPED) {
    doubts.push({
      id: 'partial-direct-map',
      message: `of the ${pages} pages that the dump holds, ${unmapped} are not in the kernel's direct map: it may be a crash kernel, or still boot`,
    });
  }
  const outside = tablePages.looked - tablePages.mapped;
  if (outside > 0) {
    doubts.push({
      id: 'tables-outside-direct-map',
      message: `${outside} of ${tablePages.looked} table pages ${outside === 1 ? 'is' : 'are'} not in the direct map: the dump is damaged, or the kernel was attacked`,
    });
  }
  const { virtualFrame, frame } = kernel.text;
  const mapped = mappedFrame(kernel, virtualFrame);
  if (mapped !== frame) {
    const where = mapped === undefined ? 'nowhere' : `to ${hex(mapped * PAGE_SIZE)}`;
    doubts.push({
      id: 'stray-text',
      message: `the kernel's first page of text, ${hex(virtualAddressOf(virtualFrame))}, leads ${where} and not to ${hex(frame * PAGE_SIZE)}, as the rest of the image: the dump is damaged, or the kernel was attacked`,
    });
  }
  if (origin.kind === 'structure') {
    doubts.push({
      id: 'root-by-structure',
      message:
        'neither registers nor VMCOREINFO lead to the root of these page tables: it was found by its structure, and nothing else says that it is the one in use',
    });
  }
  const rivals = origin.rivals ?? [];
  if (rivals.length > 0) {
    const listed = rivals.slice(0, MOST_RIVALS).map((root) => hex(root * PAGE_SIZE));
    const more = rivals.length - listed.length;
    doubts.push({
      id: 'rival-roots',
      message: `${rivals.length === 1 ? 'another page proves' : `${rivals.length} other pages prove`} to be a root of this kernel and ${rivals.length === 1 ? 'leads' : 'lead'} elsewhere, at ${listed.join(', ')}${more > 0 ? ` and ${more} more` : ''}: the root that most pages agree with was taken; the others are stale, of firmware (EFI), or were made by somebody`,
    });
  }
  if (core.cpus.length > 0 && origin.cpu === undefined) {
    doubts.push({
      id: 'no-cpu-on-kernel',
      message: "no CPU of the dump stands on this kernel's tables: the control registers may be another's",
    });
  }
  const swapper = origin.refused.find(({ kind }) => kind === 'swapper-pg-dir');
  if (swapper !== undefined && core.memory.page(swapper.root) !== undefined) {
    doubts.push({
      id: 'swapper-refused',
      message: `swapper_pg_dir, by VMCOREINFO at ${hex(swapper.root * PAGE_SIZE)}, ${swapper.why}: VMCOREINFO may be another kernel's`,
    });
  }
  for (const name of ['_stext', 'swapper_pg_dir']) {
    const address = core.vmcoreinfo?.symbol(name);
    if (address === undefined) continue;
    const offset = address - virtualAddressOf(KERNEL_MAP);
    if (offset >= 0n && offset < BigInt(GIB_FRAMES * PAGE_SIZE)) continue;
    doubts.push({
      id: 'vmcoreinfo-symbol',
      message: `VMCOREINFO has ${name} at ${hex(address)}, where no kernel has its image: it was passed over`,
    });
  }
  return doubts;
}
