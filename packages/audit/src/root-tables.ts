import { type Gfn, type VirtualFrame, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { mappedFrame, type ProvenRoot } from '@heki/vmcore';
import { CR0 } from '@heki/x86';

/** `CPU_ENTRY_AREA_RO_IDT`: every address space of the kernel maps it, that of user mode under page-table isolation, too. */
const IDT: VirtualFrame = virtualFrameOf(virtualAddress(0xffff_fe00_0000_0000n));

/** A root table beside the one that is audited. */
export interface OtherRoot {
  readonly root: Gfn;
  /** For people: `the address space of CPU 1`. */
  readonly name: string;
}

/** CPUs, and the tables that are audited. */
interface StandingCpus {
  readonly tables: ProvenRoot;
  readonly cpus: readonly { readonly cpu: number; readonly cr0: bigint; readonly cr3?: bigint | undefined }[];
}

/** Root tables that a CPU stands on. */
export interface CpuRoots {
  /** Of this kernel, and the other halves of the pairs that page-table isolation makes; each once. */
  readonly own: readonly OtherRoot[];
  /** Those in which the kernel's code is not where it is; of firmware, or of a guest of the kernel's own. */
  readonly foreign: readonly OtherRoot[];
  /** Those that the dump lacks. */
  readonly absent: readonly OtherRoot[];
}

/**
 * The roots that the CPUs stand on, without the one that is audited. A root is this kernel's when it leads the first page of the text or the
 * IDT to their frames: whatever an attacker changed in a copy, the kernel has to go on running in it.
 */
export function cpuRoots({ tables, cpus }: StandingCpus): CpuRoots {
  const encryption = tables.encryptionBit === undefined ? 0n : 1n << BigInt(tables.encryptionBit);
  const own: OtherRoot[] = [];
  const foreign: OtherRoot[] = [];
  const absent: OtherRoot[] = [];
  const seen = new Set<Gfn>([tables.root]);
  const isOwn = (root: Gfn): boolean =>
    [tables.text.virtualFrame, IDT].some((at) => {
      const frame = mappedFrame(tables, at);
      return frame !== undefined && mappedFrame({ ...tables, root }, at) === frame;
    });
  const look = (root: Gfn, name: string): boolean => {
    if (seen.has(root) || tables.memory.page(root) === undefined) return true;
    seen.add(root);
    if (!isOwn(root)) return false;
    own.push({ root, name });
    return true;
  };
  // The pair of a root: the kernel's at an even frame, user mode's at the next (PTI_PGTABLE_SWITCH_BIT). Without isolation it is any page.
  const lookAtPair = (root: Gfn, name: string): void => {
    look((root % 2 === 0 ? root + 1 : root - 1) as Gfn, `the other half of ${name}`);
  };
  lookAtPair(tables.root, "the kernel's root");
  for (const { cpu, cr0, cr3 } of cpus) {
    if ((cr0 & CR0.PG) === 0n || cr3 === undefined) continue;
    const root = Number((BigInt.asUintN(52, cr3) & ~encryption) >> 12n) as Gfn;
    const name = `the address space of CPU ${cpu}`;
    if (root !== 0 && tables.memory.page(root) === undefined) absent.push({ root, name });
    else if (!look(root, name)) foreign.push({ root, name });
    else lookAtPair(root, name);
  }
  return { own, foreign, absent };
}
