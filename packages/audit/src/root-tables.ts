import {
  type Gfn,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { mappedFrame, type ProvenRoot } from '@heki/vmcore';
import { addressHigh, CR0, EntryLow, entryFrame, entryIndex, upperHalfStart, walkMappings } from '@heki/x86';

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

/** The root table that a value of CR3 leads to, without PCID, LAM and the C-bit. */
export function rootOfCpu({ encryptionBit }: ProvenRoot, cr3: bigint | undefined): Gfn | undefined {
  if (cr3 === undefined) return undefined;
  const encryption = encryptionBit === undefined ? 0n : 1n << BigInt(encryptionBit);
  return Number((BigInt.asUintN(52, cr3) & ~encryption) >> 12n) as Gfn;
}

/** Tables of a root that are read to tell whose it is. */
const MOST_TABLES = 64;

/**
 * The roots that the CPUs stand on, without the one that is audited. A root is this kernel's when it leads the first page of the text or the
 * IDT to their frames, or any other address of the kernel's half: whatever an attacker changed in a copy, the kernel has to go on running in
 * it.
 */
export function cpuRoots({ tables, cpus }: StandingCpus): CpuRoots {
  const own: OtherRoot[] = [];
  const foreign: OtherRoot[] = [];
  const absent: OtherRoot[] = [];
  const seen = new Set<Gfn>([tables.root]);
  const isOwn = (root: Gfn): boolean =>
    [tables.text.virtualFrame, IDT].some((at) => {
      const frame = mappedFrame(tables, at);
      return frame !== undefined && mappedFrame({ ...tables, root }, at) === frame;
    }) || agreesAnywhere(tables, root);
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
    const root = (cr0 & CR0.PG) === 0n ? undefined : rootOfCpu(tables, cr3);
    if (root === undefined) continue;
    const name = `the address space of CPU ${cpu}`;
    if (root !== 0 && tables.memory.page(root) === undefined) absent.push({ root, name });
    else if (!look(root, name)) foreign.push({ root, name });
    else lookAtPair(root, name);
  }
  return { own, foreign, absent };
}

/** Whether `root` leads some address of the kernel's half to the frame that the kernel's own tables lead it to. */
function agreesAnywhere(tables: ProvenRoot, root: Gfn): boolean {
  let agrees = false;
  walkMappings(
    { ...tables, root, budget: MOST_TABLES },
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ virtualFrame, guestFrame }) => {
      agrees ||= mappedFrame(tables, virtualFrame) === guestFrame;
    },
  );
  return agrees;
}

/**
 * Whether a root is user mode's of a pair: at an odd frame (PTI_PGTABLE_SWITCH_BIT), and without the kernel's own table for the image or for
 * the direct map, of which every other address space has both.
 */
export function isUserTable({ tables }: Pick<StandingCpus, 'tables'>, { root }: OtherRoot): boolean {
  if (root % 2 === 0) return false;
  const addressBits = addressHigh(tables.encryptionBit);
  const tableOf = (of: Gfn, at: VirtualFrame): number => {
    const slot = 2 * entryIndex(at, tables.levels);
    const page = tables.memory.page(of);
    const low = page?.[slot] ?? 0;
    return (low & EntryLow.P) === 0 ? -1 : entryFrame(low, page?.[slot + 1] ?? 0, addressBits);
  };
  return [tables.text.virtualFrame, tables.directMap.start].some(
    (at) => tableOf(root, at) !== tableOf(tables.root, at),
  );
}
