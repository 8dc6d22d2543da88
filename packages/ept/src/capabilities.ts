import { EptError } from './error.ts';

/** What a processor's EPT can do: mostly IA32_VMX_EPT_VPID_CAP, MSR 0x48C (SDM 3D A.10). */
export interface EptCapabilities {
  /** MAXPHYADDR: 32 to 52. */
  readonly physicalAddressBits: number;
  /** Entries may allow fetches and not reads (bit 0). */
  readonly executeOnly: boolean;
  /** Five levels of tables (bit 7). */
  readonly fiveLevels: boolean;
  /** 2 MiB leaves (bit 16). */
  readonly pages2M: boolean;
  /** 1 GiB leaves (bit 17). */
  readonly pages1G: boolean;
  /** Accessed and dirty flags (bit 21). */
  readonly accessedDirty: boolean;
  /** Exit-qualification bits 9 to 11 (bit 22). */
  readonly advancedInformation: boolean;
  /** Supervisor shadow-stack control, EPTP[7] (bit 23). */
  readonly supervisorShadowStack: boolean;
  /** Mode-based execute control (secondary control 22 may be 1). */
  readonly modeBasedExecute: boolean;
  /** EPT-violation #VE (secondary control 18 may be 1). */
  readonly violationException: boolean;
  /** EPT paging-write (tertiary control 2 may be 1). */
  readonly pagingWrite: boolean;
  /** Guest-paging verification (tertiary control 3 may be 1). */
  readonly guestPagingVerification: boolean;
  /**
   * Whether a violation by a read-modify-write reports qualification bit 0 beside bit 1, which the SDM leaves to the
   * implementation (SDM 3C 28.2.1, note to table 28-7).
   */
  readonly readModifyWriteReportsRead: boolean;
}

const WITHOUT_MBEC: EptCapabilities = {
  physicalAddressBits: 46,
  executeOnly: true,
  fiveLevels: false,
  pages2M: true,
  pages1G: true,
  accessedDirty: true,
  advancedInformation: false,
  supervisorShadowStack: false,
  modeBasedExecute: false,
  violationException: true,
  pagingWrite: false,
  guestPagingVerification: false,
  readModifyWriteReportsRead: false,
};

const MBEC: EptCapabilities = { ...WITHOUT_MBEC, advancedInformation: true, modeBasedExecute: true };

/** Processors by what matters to Heki. */
export const EptProfiles = {
  /** One execute right for user and supervisor. */
  withoutMbec: WITHOUT_MBEC,
  /** With mode-based execute control: what Heki v2 asks for. */
  mbec: MBEC,
  /** With virtualization-based read-only paging (VT-rp), 5-level EPT and shadow stacks as well. */
  vtRp: {
    ...MBEC,
    physicalAddressBits: 52,
    fiveLevels: true,
    supervisorShadowStack: true,
    pagingWrite: true,
    guestPagingVerification: true,
  },
} as const satisfies Record<string, EptCapabilities>;

/** The VM-execution controls that change what EPT does. Those left out are 0. */
export interface EptControls {
  /** Mode-based execute control for EPT: secondary control 22. */
  readonly modeBasedExecute?: boolean;
  /** EPT-violation #VE: secondary control 18. */
  readonly violationException?: boolean;
  /** EPT paging-write: tertiary control 2. */
  readonly pagingWrite?: boolean;
  /** Guest-paging verification: tertiary control 3. */
  readonly guestPagingVerification?: boolean;
}

/** @throws {EptError} when a control is set that the processor lacks, or the address width is not 32 to 52 */
export function checkControls(capabilities: EptCapabilities, controls: EptControls): void {
  const bits = capabilities.physicalAddressBits;
  if (!(Number.isInteger(bits) && bits >= 32 && bits <= 52)) {
    throw new EptError(`a processor has no ${bits} physical-address bits: expected 32 to 52`);
  }
  for (const control of [
    'modeBasedExecute',
    'violationException',
    'pagingWrite',
    'guestPagingVerification',
  ] as const) {
    if (controls[control] === true && !capabilities[control]) {
      throw new EptError(`control ${control} is set, but the processor's capabilities do not have it`);
    }
  }
}
