import {
  frameOf,
  type Gfn,
  hex,
  PAGE_SIZE,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { addressHigh, EntryHigh, EntryLow, entryFrame, type PagingLevels } from '@heki/x86';
import { VmcoreError } from '../error.ts';
import type { Vmcore } from '../vmcore.ts';
import {
  type AddressSpaceChoice,
  chosenRootOf,
  firstCpu,
  levelsOf,
  pagesIn64BitMode,
  rootOf,
} from './cpu-root.ts';
import type { ImageFacts } from './kernel-image.ts';
import { GIB_FRAMES, KERNEL_MAP, KERNEL_SLOT, type KernelTables } from './kernel-tables.ts';
import { ProvenRoot, prove, type RefusedRoot, type RootOrigin } from './proven-root.ts';
import { kernelHalf } from './pti-pair.ts';
import { rootsByStructure } from './root-by-structure.ts';
import { whyUnreadable } from './unreadable.ts';

/** Reasons that an error lists; the rest is counted. */
const MOST_REASONS = 6;

/** A root table that may be the kernel's. */
interface Candidate {
  readonly kind: RootOrigin['kind'];
  readonly name: string;
  readonly root: Gfn;
  /** The levels that it may have. */
  readonly levels: readonly PagingLevels[];
}

/**
 * The root of the kernel's own page tables. Looked at are swapper_pg_dir, by VMCOREINFO, and of each CPU the root in CR3 and
 * the kernel's half of the pair that it belongs to under page-table isolation: a CPU may have been stopped in user mode or in
 * the entry code, in another virtual machine's tables or in those of the firmware. The first that proves to be a
 * kernel's is taken ({@link ProvenRoot}); of a dump without registers whose VMCOREINFO leads to none, as of raw memory, all pages that
 * have the structure of a root table are looked at. It is taken if all others that prove to be a kernel's are of the same one.
 *
 * @param choice only the root of this CPU, or this CR3, and the kernel's half of its pair: then VMCOREINFO is not asked
 * @throws {VmcoreError} when none proves to be, with the reason of each, or when two are roots of different kernels
 */
export function resolveKernelRoot(core: Vmcore, choice?: AddressSpaceChoice): ProvenRoot {
  const search = new Search(core, choice === undefined ? imageOf(core) : undefined);
  if (choice !== undefined) {
    const { root, levels, name } = chosenRootOf(core, choice);
    const cpu = core.cpus.length === 0 ? undefined : (choice.cpu ?? firstCpu(core));
    const proven = search.proven(pair(root, [levels], name), cpu);
    if (proven === undefined) throw search.failure();
    return proven;
  }
  let kernel = search.proven(swapperOf(core));
  for (const [index, cpu] of core.cpus.entries()) {
    if (!pagesIn64BitMode(cpu)) continue;
    const candidates = pair(rootOf(core, cpu.cr3), [levelsOf(cpu)], `CR3 of CPU ${index}`);
    const same = kernel?.levels === levelsOf(cpu) ? withHalfOf(kernel, candidates) : undefined;
    const own = same === undefined ? search.proven(candidates, index) : undefined;
    if (kernel !== undefined && own !== undefined && !isSameKernel(kernel, own)) {
      throw differentKernels(kernel, own);
    }
    if (kernel === undefined) kernel = own;
    else if (kernel.origin.cpu === undefined && (same ?? own) !== undefined) {
      kernel = withCpu(kernel, index, same?.kind === 'cr3');
    }
  }
  if (kernel === undefined && core.cpus.length === 0) kernel = byStructure(core, search);
  if (kernel === undefined) throw search.failure();
  return kernel;
}

/** Root tables that are tried where nothing names one. */
const MOST_BY_STRUCTURE = 1024;

/**
 * Of a dump that names no root: a page with the structure of one that proves to be a kernel's, if all are of one kernel. Every process has a
 * copy of the kernel's half, so the half that most pages have is the kernel's; a stale root, or one that somebody made, has few.
 */
function byStructure(core: Vmcore, search: Search): ProvenRoot | undefined {
  const { memory, encryption } = core;
  const halves: { readonly root: Gfn; readonly proven: ProvenRoot | undefined; pages: number }[] = [];
  for (const root of rootsByStructure(core).slice(0, MOST_BY_STRUCTURE)) {
    const same = halves.find((half) =>
      sharesKernelHalf({ memory, encryptionBit: encryption?.bit, root: half.root }, root),
    );
    if (same !== undefined) {
      same.pages++;
      continue;
    }
    const name = 'a page with the structure of a root table';
    const proven = search.proven([{ kind: 'structure', name, root, levels: [4, 5] }]);
    halves.push({ root, proven, pages: 1 });
  }
  const byPages = halves.sort((a, b) => b.pages - a.pages).flatMap(({ proven }) => proven ?? []);
  const [kernel, ...others] = byPages;
  const another = others.find((other) => kernel !== undefined && !isSameKernel(kernel, other));
  if (kernel === undefined) return undefined;
  if (another !== undefined) throw differentKernels(kernel, another);
  return new ProvenRoot({ ...kernel, origin: { ...kernel.origin, rivals: others.map(({ root }) => root) } });
}

/** The candidate whose kernel half is that of `kernel`. */
function withHalfOf(kernel: ProvenRoot, candidates: readonly Candidate[]): Candidate | undefined {
  return candidates.find(({ root }) => sharesKernelHalf(kernel, root));
}

function withCpu(kernel: ProvenRoot, cpu: number, isCr3: boolean): ProvenRoot {
  return new ProvenRoot({ ...kernel, origin: { ...kernel.origin, cpu, isCr3 } });
}

/** Tries candidates, and remembers why they prove nothing. */
class Search {
  readonly #core: Vmcore;
  readonly #image: ImageFacts | undefined;
  readonly #refused: RefusedRoot[] = [];
  /** Roots with the levels by which they were read. */
  readonly #seen = new Set<string>();

  constructor(core: Vmcore, image: ImageFacts | undefined) {
    this.#core = core;
    this.#image = image;
  }

  /** The first of `candidates` that proves to be a kernel's. @throws {VmcoreError} when another proves to be another kernel's */
  proven(candidates: readonly Candidate[], cpu?: number): ProvenRoot | undefined {
    let first: ProvenRoot | undefined;
    for (const candidate of candidates) {
      const found = this.#prove(candidate, cpu);
      if (first !== undefined && found !== undefined && !isSameKernel(first, found)) {
        throw differentKernels(first, found);
      }
      first ??= found;
    }
    return first;
  }

  #prove({ kind, name, root, levels }: Candidate, cpu: number | undefined): ProvenRoot | undefined {
    // CPUs share roots, and a root that is not a kernel's by one register is not by another.
    const key = `${root} ${levels}`;
    if (this.#seen.has(key)) return undefined;
    this.#seen.add(key);
    const reasons: string[] = [];
    for (const level of levels) {
      const origin = { kind, name, cpu, isCr3: kind === 'cr3', refused: [...this.#refused] };
      const { memory, encryption } = this.#core;
      const tables = { memory, root, levels: level, encryptionBit: encryption?.bit };
      const proven = prove(tables, origin, this.#image);
      if (typeof proven !== 'string') return proven;
      reasons.push(levels.length === 1 ? proven : `${proven} (read with ${level} levels)`);
    }
    this.#refused.push({ kind, name, root, why: reasons.join(', ') });
    return undefined;
  }

  failure(): VmcoreError {
    const why = whyUnreadable(this.#core);
    if (why !== undefined) {
      return new VmcoreError(`no page table of the dump proves to be its kernel's root: ${why}`);
    }
    const reasons = this.#refused
      .slice(0, MOST_REASONS)
      .map(({ name, root, why }) => `${name}, ${hex(root * PAGE_SIZE)}, ${why}`);
    if (reasons.length === 0)
      reasons.push(
        "it has neither a CPU's registers of 64-bit mode nor swapper_pg_dir, nor a page with the structure of a root table",
      );
    const more = this.#refused.length - MOST_REASONS;
    return new VmcoreError(
      `no page table of the dump proves to be its kernel's root: ${reasons.join('; ')}${more > 0 ? `; and ${more} more` : ''}`,
    );
  }
}

function swapperOf({ vmcoreinfo }: Vmcore): Candidate[] {
  if (vmcoreinfo?.swapperPgDir === undefined) return [];
  const root = frameOf(vmcoreinfo.swapperPgDir);
  // Tables that are read with the wrong number of levels prove nothing.
  const levels: readonly PagingLevels[] =
    vmcoreinfo.fiveLevel === undefined ? [4, 5] : [vmcoreinfo.fiveLevel ? 5 : 4];
  return [{ kind: 'swapper-pg-dir', name: 'swapper_pg_dir', root, levels }];
}

/** A root and, where it may be a user's, the kernel's half of its pair. */
function pair(root: Gfn, levels: readonly PagingLevels[], name: string): Candidate[] {
  const own: Candidate = { kind: 'cr3', name, root, levels };
  const other = kernelHalf(root);
  if (other === root) return [own];
  return [own, { kind: 'pti-kernel-half', name: `${name} with bit 12 cleared`, root: other, levels }];
}

/** Where the kernel says that its text is, if it says so and that can be. */
function imageOf({ vmcoreinfo }: Vmcore): ImageFacts | undefined {
  const text = vmcoreinfo?.symbol('_stext');
  const start = virtualAddressOf(KERNEL_MAP);
  if (text === undefined || text < start || text >= start + BigInt(GIB_FRAMES * PAGE_SIZE)) return undefined;
  const frame = vmcoreinfo?.number('phys_base') === undefined ? undefined : vmcoreinfo.physicalAddress(text);
  return { text, frame: frame === undefined ? undefined : frameOf(frame) };
}

/** Of an entry of a root, what says where it leads and what may be done there. */
const RIGHTS = { low: EntryLow.P | EntryLow.RW | EntryLow.US, high: EntryHigh.XD } as const;

/** Whether the root at `root` has the entries of the kernel's half that `kernel` has: processes copy them from swapper_pg_dir. */
function sharesKernelHalf(
  kernel: Pick<KernelTables, 'memory' | 'root' | 'encryptionBit'>,
  root: Gfn,
): boolean {
  const addressBits = addressHigh(kernel.encryptionBit);
  const own = kernel.memory.page(kernel.root);
  const other = kernel.memory.page(root);
  if (own === undefined || other === undefined) return false;
  for (let slot = KERNEL_SLOT; slot < 512; slot++) {
    const low = own[2 * slot] ?? 0;
    const high = own[2 * slot + 1] ?? 0;
    const otherLow = other[2 * slot] ?? 0;
    const otherHigh = other[2 * slot + 1] ?? 0;
    if (((low | otherLow) & EntryLow.P) === 0) continue;
    if (((low ^ otherLow) & RIGHTS.low) !== 0 || ((high ^ otherHigh) & RIGHTS.high) !== 0) return false;
    if (entryFrame(low, high, addressBits) !== entryFrame(otherLow, otherHigh, addressBits)) return false;
  }
  return true;
}

function isSameKernel(a: ProvenRoot, b: ProvenRoot): boolean {
  return (
    a.levels === b.levels &&
    directMapsOf(a).some((start) => directMapsOf(b).includes(start)) &&
    a.text.virtualFrame === b.text.virtualFrame &&
    a.text.frame === b.text.frame
  );
}

/** One address space of a kernel may have one more. */
function directMapsOf({ directMap, otherDirectMaps }: ProvenRoot): VirtualFrame[] {
  return [directMap.start, ...otherDirectMaps];
}

function differentKernels(a: ProvenRoot, b: ProvenRoot): VmcoreError {
  const describe = ({ origin, root, because }: ProvenRoot) =>
    `${origin.name}, ${hex(root * PAGE_SIZE)} (${because})`;
  return new VmcoreError(
    `two kernels are in the dump: ${describe(a)}, and ${describe(b)}: say which by a value for CR3`,
  );
}
