import { type Gfn, hex, PAGE_SIZE, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { VmcoreError } from '../error.ts';
import {
  type DirectMap,
  directMapLeaves,
  directMapStarts,
  isDirectlyMapped,
  surveyDirectMap,
  USUAL_START,
} from './direct-map.ts';
import { findText, type ImageFacts, type TextPage } from './kernel-image.ts';
import { type KernelTables, kernelTableFrames } from './kernel-tables.ts';

/** What a {@link ProvenRoot} is made of. */
interface Proof extends KernelTables {
  readonly directMap: DirectMap;
  readonly otherDirectMaps: ProvenRoot['otherDirectMaps'];
  readonly text: TextPage;
  readonly tablePages: ProvenRoot['tablePages'];
  readonly because: string;
  readonly origin: RootOrigin;
}

/**
 * Page tables that were seen to be a kernel's own: with a direct map that shows the tables themselves, and with the kernel's
 * text. Only {@link proveKernelRoot} and `resolveKernelRoot` make one, and a copy with changes is not one: who takes one need not
 * ask whose tables they are.
 */
export class ProvenRoot implements KernelTables {
  readonly memory: KernelTables['memory'];
  readonly root: Gfn;
  readonly levels: KernelTables['levels'];
  readonly encryptionBit: KernelTables['encryptionBit'];
  readonly directMap: DirectMap;
  /** Where else all of memory is mapped so, as in no sound kernel: an alias by large pages, or by the direct map's own tables. */
  readonly otherDirectMaps: readonly VirtualFrame[];
  /** An executable page of the kernel's image, by whose address and frame kernels are told apart. */
  readonly text: TextPage;
  /** Table pages of the kernel's half that were looked for in the direct map, and those that it maps. */
  readonly tablePages: { readonly looked: number; readonly mapped: number };
  /** What the proof rests on, in words that follow "proven by". */
  readonly because: string;
  readonly origin: RootOrigin;

  constructor(proof: Proof) {
    this.memory = proof.memory;
    this.root = proof.root;
    this.levels = proof.levels;
    this.encryptionBit = proof.encryptionBit;
    this.directMap = proof.directMap;
    this.otherDirectMaps = proof.otherDirectMaps;
    this.text = proof.text;
    this.tablePages = proof.tablePages;
    this.because = proof.because;
    this.origin = proof.origin;
  }

  /** An accessor, since a copy with changes (`{ ...root, levels: 5 }`) has none and is so refused by the type checker. */
  get isProven(): true {
    return true;
  }
}

/** Where a root table was found. */
export interface RootOrigin {
  /** `pti-kernel-half`: the table beside that in CR3 (bit 12 cleared), which belongs to user mode under page-table isolation. */
  readonly kind: 'swapper-pg-dir' | 'cr3' | 'pti-kernel-half' | 'structure' | 'given';
  /** For people: `CR3 of CPU 0`. */
  readonly name: string;
  /** The first CPU that stands on tables of this kernel: its registers go with them. */
  readonly cpu: number | undefined;
  /** Whether the kernel's half of that CPU's own CR3 is this one: then a look at the running CPU shows the same. */
  readonly isCr3: boolean;
  /** What was looked at before and proves nothing. */
  readonly refused: readonly RefusedRoot[];
  /** Of a root that was found by structure: roots that prove to be the same kernel's and lead elsewhere, one of each kind. */
  readonly rivals?: readonly Gfn[];
}

/** A root table that proves nothing. */
export interface RefusedRoot {
  readonly kind: RootOrigin['kind'];
  readonly name: string;
  readonly root: Gfn;
  /** In words that follow the name. */
  readonly why: string;
}

/** Table pages that are looked for in the direct map. */
const MOST_TABLES_CHECKED = 4096;

/** The proof that `tables` are a kernel's, or why they prove nothing, in words that follow "it". */
export function prove(
  { memory, root, levels, encryptionBit }: KernelTables,
  origin: RootOrigin,
  image?: ImageFacts,
): ProvenRoot | string {
  const tables: KernelTables = { memory, root, levels, encryptionBit };
  if (tables.memory.page(tables.root) === undefined) return 'is not in the dump';
  const starts = directMapStarts(tables);
  if (starts.length === 0) return 'has no direct map in which the table itself would be mapped';

  const frames = [...kernelTableFrames(tables, MOST_TABLES_CHECKED)];
  const shown = starts.map((start) => ({
    start,
    tables: frames.filter((frame) => isDirectlyMapped(tables, start, frame)).length,
  }));
  const full = shown.filter((one) => one.tables * 2 > frames.length);
  const direct = full.length < 2 ? full[0] : likeliest(tables, full);
  if (direct === undefined) {
    const most = Math.max(...shown.map((one) => one.tables));
    return `maps only ${most} of its ${frames.length} table pages in what would be its direct map`;
  }
  const directMap = surveyDirectMap(tables, direct.start, frames.length);
  if (typeof directMap === 'string') return directMap;

  const text = findText(tables, directMap, image);
  if (typeof text === 'string') return text;
  const because = `a direct map at ${address(direct.start)} with ${direct.tables} of ${frames.length} table pages, kernel text at ${address(text.virtualFrame)}`;
  const tablePages = { looked: frames.length, mapped: direct.tables };
  const otherDirectMaps = full.filter((one) => one !== direct).map(({ start }) => start);
  return new ProvenRoot({ ...tables, directMap, otherDirectMaps, text, tablePages, because, origin });
}

/**
 * Of places that look like direct maps, Linux's own: it has small leaves where rights change, as an alias by large pages has not; and it lies
 * below vmalloc and vmemmap, wherever KASLR puts the three (kernel_randomize_memory).
 */
function likeliest<Place extends { readonly start: VirtualFrame }>(
  tables: KernelTables,
  places: readonly Place[],
): Place | undefined {
  const leaves = places.map(({ start }) => directMapLeaves(tables, start));
  const finest = places.filter((_, index) => leaves[index] === Math.max(...leaves));
  return finest.find(({ start }) => start >= USUAL_START[tables.levels]) ?? finest[0];
}

/**
 * The proof that these tables are a kernel's own, for tables that are in no dump.
 *
 * @throws {VmcoreError} when they prove nothing, with the reason
 */
export function proveKernelRoot(tables: KernelTables): ProvenRoot {
  const name = `the root table at ${physical(tables.root)}`;
  const proven = prove(tables, { kind: 'given', name, cpu: undefined, isCr3: false, refused: [] });
  if (typeof proven === 'string') throw new VmcoreError(`${name} ${proven}`);
  return proven;
}

function address(frame: VirtualFrame): string {
  return hex(virtualAddressOf(frame));
}

function physical(frame: Gfn): string {
  return hex(frame * PAGE_SIZE);
}
