import { frameOf, type Gfn, gpa, PAGE_SIZE, type PhysicalMemory } from '@heki/physical-memory';
import { CR0, CR4, findEncryptionBit, type PagingLevels } from '@heki/x86';
import type { VmcoreCpu } from './cpu-note.ts';
import type { VmcoreSegment } from './segment.ts';
import type { Vmcoreinfo } from './vmcoreinfo.ts';

/** The C-bit of a guest whose memory is encrypted (SME, SEV), and how it is known. */
export interface MemoryEncryption {
  /** 32 .. 51. */
  readonly bit: number;
  readonly from: 'given' | 'vmcoreinfo' | 'page-tables';
}

/** What is asked for the C-bit: the parts of a `Vmcore`. */
interface Asked {
  readonly memory: PhysicalMemory<Gfn>;
  readonly segments: readonly VmcoreSegment[];
  readonly cpus: readonly VmcoreCpu[];
  readonly vmcoreinfo: Vmcoreinfo | undefined;
}

/** The bits of an entry and of CR3 that can be the C-bit of the model. */
const FIRST_BIT = 32;
const LAST_BIT = 51;

/**
 * The C-bit of a dump: `sme_mask` of VMCOREINFO, unless that is 0, or what the page tables of its first CPU, or
 * `swapper_pg_dir`, have set beside addresses in memory.
 */
export function findEncryption(core: Asked): MemoryEncryption | undefined {
  const told = bitOf(core.vmcoreinfo?.number('sme_mask') ?? 0n);
  if (told !== undefined) return { bit: told, from: 'vmcoreinfo' };
  const { memory } = core;
  const memoryEnd = memoryEndOf(core);
  for (const { root, levels } of rootsOf(core)) {
    const found = findEncryptionBit({ memory, root, levels, memoryEnd });
    if (found?.usual === true) return { bit: found.bit, from: 'page-tables' };
  }
  return undefined;
}

/** One past the last frame of which a dump holds anything. */
export function memoryEndOf({ segments }: Pick<Asked, 'segments'>): Gfn {
  return Math.ceil((segments.at(-1)?.end ?? 0) / PAGE_SIZE) as Gfn;
}

/** The number of the one bit of a mask, if it can be the C-bit. */
function bitOf(mask: bigint): number | undefined {
  const bit = mask.toString(2).length - 1;
  return mask === 1n << BigInt(bit) && bit >= FIRST_BIT && bit <= LAST_BIT ? bit : undefined;
}

function rootsOf({ cpus, vmcoreinfo }: Asked): { readonly root: Gfn; readonly levels: PagingLevels }[] {
  const cpu = cpus.find(({ cr0, cr4 }) => (cr0 & CR0.PG) !== 0n && (cr4 & CR4.PAE) !== 0n);
  const levels: PagingLevels =
    cpu === undefined ? (vmcoreinfo?.fiveLevel === true ? 5 : 4) : (cpu.cr4 & CR4.LA57) === 0n ? 4 : 5;
  const swapper = vmcoreinfo?.swapperPgDir;
  return [
    ...(cpu === undefined ? [] : [{ root: frameOf(gpa(Number(BigInt.asUintN(52, cpu.cr3)))), levels }]),
    ...(swapper === undefined ? [] : [{ root: frameOf(swapper), levels }]),
  ];
}
