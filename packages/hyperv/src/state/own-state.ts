import {
  HvSecureVtlConfig,
  HvVsmPartitionConfig,
  type LvbsRange,
  type LvbsTextPatch,
} from '@heki/hypercall/hyperv';
import {
  badState,
  checkStateBits,
  checkStateInteger,
  checkStateList,
  checkStateRanges,
  type ProtectionState,
} from '@heki/hypervisor';
import { PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import type { Intercepts, Partition } from '../partition/partition.ts';
import type { Mask } from '../partition/vtl-memory.ts';
import type { SavedSecureKernel } from '../secure-kernel/secure-kernel.ts';
import { MOST_PATCHES } from '../secure-kernel/text-patches.ts';
import type {
  TrustedKexecImage,
  TrustedModule,
  TrustedPatch,
  TrustedSection,
  TrustedSite,
} from '../secure-kernel/trusted-code.ts';

/** What Hyper-V and its secure kernel have beside rights and pins. */
export interface HypervOwnState extends SavedSecureKernel {
  readonly backend: 'hyperv';
  /** HvRegisterVsmPartitionConfig, and HvRegisterVsmVpSecureVtlConfig for VTL0. */
  readonly config: bigint;
  readonly secureConfig: bigint;
  /** By virtual processor. */
  readonly intercepts: readonly Readonly<Intercepts>[];
}

const CONFIG_BITS =
  HvVsmPartitionConfig.ENABLE_VTL_PROTECTION | (0xfn << HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT);
const SECURE_BITS = HvSecureVtlConfig.MBEC_ENABLED | HvSecureVtlConfig.TLB_LOCKED;
const ALL_BITS = 0xffff_ffff_ffff_ffffn;

/** Most bytes of a patch. */
const LONGEST_PATCH = 5;

const isBytes = (value: unknown): boolean => value instanceof Uint8Array;

/**
 * The part of a state that is Hyper-V's own.
 *
 * @throws {HypervisorError} when it is malformed, or this partition cannot have it
 */
export function checkOwn(partition: Partition, saved: ProtectionState['own'] | null): HypervOwnState {
  if (saved?.backend !== 'hyperv') throw badState('own.backend', saved?.backend, "'hyperv'");
  const { config, secureConfig, intercepts, policy, patches, modules } = saved as HypervOwnState;
  checkStateBits('own.config', config, CONFIG_BITS);
  const hasMbec = partition.options.processor.ept?.modeBasedExecute === true;
  checkStateBits('own.secureConfig', secureConfig, hasMbec ? SECURE_BITS : HvSecureVtlConfig.TLB_LOCKED);
  checkStateList<Intercepts>('own.intercepts', intercepts, (each, place) => {
    for (const name of ['control', 'cr0Mask', 'cr4Mask', 'miscEnableMask'] as const) {
      checkStateBits(`${place}.${name}`, each[name], ALL_BITS);
    }
  });
  checkStateRanges<Mask>('own.policy.given', policy?.given, ({ flags }, place) =>
    checkStateInteger(`${place}.flags`, flags, 0, 15),
  );
  checkStateRanges('own.policy.claims', policy.claims, () => {});
  checkStateList<LvbsTextPatch>('own.patches', patches, ({ pa, secondPa, bytes }, place) => {
    checkStateInteger(`${place}.pa`, pa, 0, PHYSICAL_ADDRESS_END - 1);
    checkStateInteger(`${place}.secondPa`, secondPa, 0, PHYSICAL_ADDRESS_END - 1);
    if (!isBytes(bytes) || bytes.length === 0 || bytes.length > LONGEST_PATCH) {
      throw badState(`${place}.bytes`, bytes, `1 to ${LONGEST_PATCH} bytes`);
    }
  });
  if (patches.length > MOST_PATCHES) {
    throw badState('own.patches.length', patches.length, `at most ${MOST_PATCHES}`);
  }
  checkModules(modules);
  return saved as HypervOwnState;
}

function checkModules(modules: HypervOwnState['modules'] | undefined): void {
  checkStateBits('own.modules.tokens', modules?.tokens, ALL_BITS);
  const latest = modules?.tokens ?? 0n;
  const taken = new Set<bigint>();
  checkStateList<HypervOwnState['modules']['loaded'][0]>(
    'own.modules.loaded',
    modules?.loaded,
    (each, place) => {
      checkStateBits(`${place}.token`, each.token, ALL_BITS);
      if (each.token === 0n || each.token > latest || taken.has(each.token)) {
        throw badState(`${place}.token`, each.token, `each token once, from 1 to ${latest}`);
      }
      taken.add(each.token);
      checkRanges(`${place}.ranges`, each.ranges);
    },
  );
  const kinds = new Set<boolean>();
  checkStateList<HypervOwnState['modules']['frozen'][0]>(
    'own.modules.frozen',
    modules?.frozen,
    (each, place) => {
      if (kinds.has(each.crash)) throw badState(`${place}.crash`, each.crash, 'each kind of image once');
      kinds.add(each.crash);
      if (typeof each.crash !== 'boolean') throw badState(`${place}.crash`, each.crash, 'true or false');
      checkRanges(`${place}.ranges`, each.ranges);
    },
  );
  checkStateList<TrustedModule>('own.modules.trusted', modules?.trusted, ({ sections }, place) =>
    checkStateList<TrustedSection>(`${place}.sections`, sections, checkSection),
  );
  checkStateList<TrustedKexecImage>('own.modules.images', modules?.images, ({ bytes }, place) => {
    if (!isBytes(bytes)) throw badState(`${place}.bytes`, bytes, 'bytes');
  });
}

function checkSection({ kind, bytes, sites, patches = [] }: TrustedSection, place: string): void {
  checkStateInteger(`${place}.kind`, kind, 0, Number.MAX_SAFE_INTEGER);
  if (!isBytes(bytes)) throw badState(`${place}.bytes`, bytes, 'bytes');
  checkStateList<TrustedSite>(`${place}.sites`, sites, ({ offset, length, values = [] }, at) => {
    checkStateInteger(`${at}.offset`, offset, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    checkStateInteger(`${at}.length`, length, 0, Number.MAX_SAFE_INTEGER);
    if (!Array.isArray(values) || !values.every(isBytes))
      throw badState(`${at}.values`, values, 'lists of bytes');
  });
  checkStateList<TrustedPatch>(`${place}.patches`, patches, ({ offset, bytes: patch }, at) => {
    checkStateInteger(`${at}.offset`, offset, 0, Number.MAX_SAFE_INTEGER);
    if (!isBytes(patch)) throw badState(`${at}.bytes`, patch, 'bytes');
  });
}

function checkRanges(place: string, ranges: unknown): void {
  checkStateList<LvbsRange>(place, ranges, ({ pa, epa, attributes }, at) => {
    checkStateInteger(`${at}.pa`, pa, 0, PHYSICAL_ADDRESS_END - 1);
    checkStateInteger(`${at}.epa`, epa, pa + 1, PHYSICAL_ADDRESS_END);
    checkStateInteger(`${at}.attributes`, attributes, 0, Number.MAX_SAFE_INTEGER);
  });
}
