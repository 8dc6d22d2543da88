import type { Pfn, PhysicalMemory, U64 } from '@heki/physical-memory';
import {
  createSecondLevelEditor,
  type LeafChange,
  type SecondLevelEditor,
  type SecondLevelFormat,
  type TableFrames,
} from '@heki/second-level';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { eptFeatures } from './controls.ts';
import { EPT_RIGHTS, EptHigh, EptLow, EptMemoryType } from './entry.ts';
import { EptError } from './error.ts';

/** Changes of the address (51:12), of bit 7, of IPAT and of the memory type: stale either way (SDM 3C 29.4.3.4). */
const TRANSLATION_LOW = 0xffff_f0f8;
const TRANSLATION_HIGH = 0x000f_ffff;

/**
 * An editor of EPT tables in `memory`: see {@link SecondLevelEditor}. Bits that the processor ignores are the
 * caller's, for software use.
 *
 * @param options.frames where table pages come from; each must be present in `memory`
 * @param options.root tables that such an editor built before; without it a new, empty root
 * @param options.levels 4 when left out
 * @param options.processor decides the largest legal leaf; `INTEL_VT_RP` when left out
 * @param options.modeBasedExecute whether XU alone makes an entry present (MBEC on); on when left out
 * @param options.table entries that refer to tables, without address; all rights when left out
 * @param options.absent the value of absent entries, 0 when left out (KVM: bit 63, suppress #VE)
 */
export function createEptEditor(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly frames: TableFrames;
  readonly root?: Pfn | undefined;
  readonly levels?: 4 | 5;
  readonly processor?: CpuProfile;
  readonly modeBasedExecute?: boolean;
  readonly table?: U64;
  readonly absent?: U64;
}): SecondLevelEditor {
  const features = eptFeatures(options.processor ?? INTEL_VT_RP);
  const format: SecondLevelFormat = {
    levels: options.levels ?? 4,
    largestLeaf: features.twoMegabytePages ? (features.gigabytePages ? 3 : 2) : 1,
    present: (options.modeBasedExecute ?? true) ? EPT_RIGHTS : EPT_RIGHTS & ~EptLow.XU,
    leaf: { mask: EptLow.LARGE, large: EptLow.LARGE, small: 0 },
    accessedDirty: EptLow.A | EptLow.D,
    table: options.table ?? { low: EPT_RIGHTS, high: 0 },
    absent: options.absent ?? { low: 0, high: 0 },
    flushOnClear: {
      low: TRANSLATION_LOW | EPT_RIGHTS | EptLow.A | EptLow.D,
      high: TRANSLATION_HIGH | EptHigh.PWA | EptHigh.SSS,
    },
    flushOnSet: { low: TRANSLATION_LOW, high: TRANSLATION_HIGH | EptHigh.VGP },
  };
  const { memory, frames, root } = options;
  return createSecondLevelEditor({ memory, frames, format, root });
}

/** What a leaf grants and is, in words. */
export interface EptLeafOptions {
  /** An OR of R, W, X and XU of `EptLow`, not 0. */
  readonly rights: number;
  /** A value of {@link EptMemoryType}; WB when left out. */
  readonly memoryType?: number;
  readonly ignorePat?: boolean;
  readonly accessed?: boolean;
  readonly dirty?: boolean;
  readonly suppressVe?: boolean;
  readonly pagingWrite?: boolean;
  readonly verifyGuestPaging?: boolean;
  readonly supervisorShadowStack?: boolean;
}

/**
 * The bits of a leaf entry, without address and bit 7, for `map` and `installLeaf`.
 *
 * @throws {EptError} for rights that are empty or a misconfiguration (W without R), or a reserved memory type
 */
export function eptLeaf(options: EptLeafOptions): U64 {
  const { rights, memoryType = EptMemoryType.WB } = options;
  checkRights(rights);
  if (!(Object.values(EptMemoryType) as number[]).includes(memoryType)) {
    throw new EptError(`EPT has no memory type ${memoryType}: expected 0, 1, 4, 5 or 6`);
  }
  const low =
    rights |
    (memoryType << 3) |
    (options.ignorePat === true ? EptLow.IPAT : 0) |
    (options.accessed === true ? EptLow.A : 0) |
    (options.dirty === true ? EptLow.D : 0);
  const high =
    (options.verifyGuestPaging === true ? EptHigh.VGP : 0) |
    (options.pagingWrite === true ? EptHigh.PWA : 0) |
    (options.supervisorShadowStack === true ? EptHigh.SSS : 0) |
    (options.suppressVe === true ? EptHigh.SVE : 0);
  return { low, high: high >>> 0 };
}

/**
 * The change of leaves to exactly `rights` (an OR of R, W, X and XU of `EptLow`; 0 makes them absent), for `update`.
 *
 * @throws {EptError} for rights that are a misconfiguration (W without R)
 */
export function eptRightsChange(rights: number): LeafChange {
  if (rights !== 0) checkRights(rights);
  return { clear: { low: EPT_RIGHTS, high: 0 }, set: { low: rights, high: 0 } };
}

function checkRights(rights: number): void {
  if ((rights & ~EPT_RIGHTS) !== 0 || rights === 0) {
    throw new EptError(
      `0x${rights.toString(16)} are not EPT rights: expected an OR of R, W, X and XU of EptLow`,
    );
  }
  if ((rights & EptLow.W) !== 0 && (rights & EptLow.R) === 0) {
    throw new EptError('an EPT entry that is writable and not readable is a misconfiguration');
  }
}
