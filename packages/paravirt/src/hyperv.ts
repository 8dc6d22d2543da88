import type { HekiSection, HekiSectionKind, HekiSecureKernel, HekiTextPatch } from '@heki/guest';
import { Errno } from '@heki/hypercall/errno';
import {
  encodeHvControl,
  encodeLvbsRanges,
  encodeLvbsTextPatch,
  HV_PARTITION_SELF,
  HvCall,
  HvStatus,
  LVBS_RANGES_PER_PAGE,
  LVBS_TEXT_PATCH_SIZE,
  LvbsFunction,
  type LvbsRange,
  LvbsSection,
} from '@heki/hypercall/hyperv';
import { decodePageList, forEachRange } from '@heki/hypercall/kvm';
import { addressOf, type Gfn, type Gpa, PAGE_SIZE, PAGE_WORDS } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import type { Registers, Vcpu } from '@heki/vcpu';
import type { DriverMemory } from './driver-memory.ts';
import type { HekiPort } from './kvm.ts';

/** What the driver for Hyper-V needs of a virtual CPU. */
export type HypervDriverVcpu = Pick<Vcpu, 'vmcall' | 'interruptContext'> & {
  readonly registers: Pick<Registers, 'rax' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'r8'>;
};

/** What the driver for Hyper-V runs on. */
export interface HypervDriverOptions {
  /** The virtual CPU that executes the calls; asked for each. */
  readonly vcpu: () => HypervDriverVcpu;
  readonly memory: DriverMemory;
  /** Hears of the warning about calls in interrupt context, once. */
  readonly onWarning?: (text: string) => void;
  /**
   * When the secure kernel is told that boot is over. `never` (default): the guest is that of the series, which asks for protection as long as it
   * lives, for every module, and would be refused from then on. `after-late-init`: it is that of LVBS, which then has its modules
   * validated and its text patched. The series' own core (`rfc-v2`) knows no such thing.
   */
  readonly endOfBoot?: 'never' | 'after-late-init';
  /** Default `hardened`. */
  readonly profile?: Profile;
}

/** Pages of ranges in one VTL call at most; more ranges make more calls. */
const MOST_PAGES = 64;

const PATCHES_PER_PAGE = PAGE_SIZE / LVBS_TEXT_PATCH_SIZE;

const SECTION_ATTRIBUTES: { readonly [kind in HekiSectionKind]: number } = {
  text: LvbsSection.TEXT,
  data: LvbsSection.DATA,
  rodata: LvbsSection.RODATA,
  'ro-after-init': LvbsSection.RO_AFTER_INIT,
  'init-text': LvbsSection.INIT_TEXT,
  'init-data': LvbsSection.INIT_DATA,
  'init-rodata': LvbsSection.INIT_RODATA,
};

/** VMCALL with these registers; all are as before afterwards. `undefined` when it did not complete, otherwise what `result` reads. */
function callHyperv(
  vcpu: HypervDriverVcpu,
  values: Partial<HypervDriverVcpu['registers']>,
  result: 'rax' | 'r8',
): bigint | undefined {
  const { registers } = vcpu;
  const { rax, rcx, rdx, rsi, rdi, r8 } = registers;
  Object.assign(registers, values);
  const done = vcpu.vmcall().kind === 'done';
  const answer = registers[result];
  Object.assign(registers, { rax, rcx, rdx, rsi, rdi, r8 });
  return done ? answer : undefined;
}

/**
 * `init_heki` for Hyper-V, after the kernel of LVBS (the series has a driver for KVM only): when VTL1 is enabled already, a secure
 * kernel is there, and `guest.hypervisor` is filled with VTL calls. Whether it was. *Unjudged.*
 */
export function initHekiOnHyperv(guest: HekiPort, options: HypervDriverOptions): boolean {
  const { vcpu, memory, onWarning, endOfBoot = 'never', profile = 'hardened' } = options;
  // Fast HvCallEnablePartitionVtl: RDX the partition, R8 the VTL.
  const enable = {
    rcx: encodeHvControl({ code: HvCall.ENABLE_PARTITION_VTL, fast: true }),
    rdx: HV_PARTITION_SELF,
    r8: 1n,
  };
  if (callHyperv(vcpu(), enable, 'rax') !== BigInt(HvStatus.VTL_ALREADY_ENABLED)) return false;

  const vtlCall = (fn: number, first = 0n, second = 0n): number => {
    const call = { rcx: BigInt(HvCall.VTL_CALL), rdi: BigInt(fn), rsi: first, rdx: second, r8: 0n };
    const answer = callHyperv(vcpu(), call, 'r8');
    return answer === undefined ? -Errno.ENOSYS : Number(BigInt.asIntN(32, answer));
  };

  /** Runs `use` with pages of its own: as many as can be had, at most `count`. */
  function withPages(count: number, use: (frames: readonly Gfn[]) => number): number {
    const frames: Gfn[] = [];
    for (let frame = memory.allocatePage(); frame !== undefined; frame = memory.allocatePage()) {
      frames.push(frame);
      if (frames.length === count) break;
    }
    const answer = frames.length === 0 ? -Errno.ENOMEM : use(frames);
    for (const frame of frames) memory.freePage(frame);
    return answer;
  }

  /** Writes ranges into pages and makes the call; more calls only where `split` allows them. The last answer, or the first error. */
  function callWithRanges(fn: number, ranges: readonly LvbsRange[], split: boolean): number {
    if (ranges.length === 0) return split ? 0 : -Errno.EINVAL;
    const needed = Math.ceil(ranges.length / LVBS_RANGES_PER_PAGE);
    return withPages(Math.min(needed, split ? MOST_PAGES : needed), (frames) => {
      const most = frames.length * LVBS_RANGES_PER_PAGE;
      if (!split && ranges.length > most) return -Errno.ENOMEM;
      let answer = 0;
      for (let at = 0; at < ranges.length && answer >= 0; at += most) {
        const part = ranges.slice(at, at + most);
        const first = storeRanges(frames, part);
        answer = first === undefined ? -Errno.EFAULT : vtlCall(fn, BigInt(first), BigInt(part.length));
      }
      return answer;
    });
  }

  function storeRanges(frames: readonly Gfn[], ranges: readonly LvbsRange[]): Gpa | undefined {
    const pages = new Map(frames.map((frame) => [frame, new Uint32Array(PAGE_WORDS)]));
    const first = encodeLvbsRanges({ memory: { writablePage: (frame) => pages.get(frame) }, frames, ranges });
    for (const [frame, page] of pages) {
      if (!memory.store(frame, 0, new Uint8Array(page.buffer))) return undefined;
    }
    return first;
  }

  const sectionRanges = (sections: readonly HekiSection[]): LvbsRange[] =>
    sections.map(({ start, end, kind }) => ({
      va: 0n,
      pa: start,
      epa: end,
      attributes: SECTION_ATTRIBUTES[kind],
    }));

  /** Writes patches into pages of their own, one behind the other, and runs `use` with these as ranges. */
  function withPatches(
    patches: readonly HekiTextPatch[],
    use: (ranges: readonly LvbsRange[]) => number,
  ): number {
    const needed = Math.ceil(patches.length / PATCHES_PER_PAGE);
    if (needed === 0) return use([]);
    return withPages(needed, (frames) => {
      if (frames.length < needed) return -Errno.ENOMEM;
      const ranges: LvbsRange[] = [];
      for (const [index, frame] of frames.entries()) {
        const page = new Uint8Array(PAGE_SIZE);
        const own = patches.slice(index * PATCHES_PER_PAGE, (index + 1) * PATCHES_PER_PAGE);
        for (const [at, patch] of own.entries()) page.set(encodePatch(patch), at * LVBS_TEXT_PATCH_SIZE);
        if (!memory.store(frame, 0, page)) return -Errno.EFAULT;
        const pa = addressOf(frame);
        ranges.push({ va: 0n, pa, epa: (pa + PAGE_SIZE) as Gpa, attributes: LvbsSection.PATCHES });
      }
      return use(ranges);
    });
  }

  const secureKernel: HekiSecureKernel = {
    loadPatches: (patches) =>
      patches.length === 0
        ? 0
        : withPatches(patches, (ranges) => callWithRanges(LvbsFunction.LOAD_KDATA, ranges, false)),
    finishBoot: () => vtlCall(LvbsFunction.SIGNAL_END_OF_BOOT),
    validateModule: (sections, patches) =>
      withPatches(patches, (tables) =>
        callWithRanges(LvbsFunction.VALIDATE_MODULE, [...sectionRanges(sections), ...tables], false),
      ),
    freeModuleInit: (token) => vtlCall(LvbsFunction.FREE_MODULE_INIT, BigInt(token)),
    unloadModule: (token) => vtlCall(LvbsFunction.UNLOAD_MODULE, BigInt(token)),
    patchText: (patch) =>
      withPages(1, ([frame]) => {
        if (frame === undefined || !memory.store(frame, 0, encodePatch(patch))) return -Errno.EFAULT;
        return vtlCall(LvbsFunction.PATCH_TEXT, BigInt(addressOf(frame)));
      }),
    validateKexec: (segments) => callWithRanges(LvbsFunction.KEXEC_VALIDATE, sectionRanges(segments), false),
  };

  let warned = false;
  guest.hypervisor = {
    lockCrs: () => vtlCall(LvbsFunction.LOCK_REGS),
    protectMemory(list: Gpa) {
      if (vcpu().interruptContext && !warned) {
        warned = true;
        onWarning?.('WARNING: hv_protect_memory called in interrupt context');
      }
      const page = (frame: Gfn) => memory.memory.page(frame);
      const decoded = decodePageList({ memory: { page, writablePage: () => undefined }, list: BigInt(list) });
      if (!decoded.ok) return -Errno.EINVAL;
      const ranges: LvbsRange[] = [];
      forEachRange(decoded.pages, (start, end, attributes) =>
        ranges.push({ va: 0n, pa: addressOf(start), epa: addressOf(end), attributes }),
      );
      return callWithRanges(LvbsFunction.PROTECT_MEMORY, ranges, true);
    },
    ...(endOfBoot === 'never' || profile === 'rfc-v2' ? {} : { secureKernel }),
  };
  return true;
}

function encodePatch({ address, secondPage, bytes }: HekiTextPatch): Uint8Array {
  return encodeLvbsTextPatch({ pa: address, secondPa: secondPage ?? (0 as Gpa), bytes });
}

/** {@link initHekiOnHyperv} as the kernel of LVBS does it, which ends its boot once late initialisation is over. *Unjudged.* */
export function initHekiOnLvbs(guest: HekiPort, options: Omit<HypervDriverOptions, 'endOfBoot'>): boolean {
  return initHekiOnHyperv(guest, { ...options, endOfBoot: 'after-late-init' });
}
