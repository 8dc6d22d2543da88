import { addressOf, type Hpa, type Pfn, type PhysicalMemory, readU64 } from '@heki/physical-memory';
import type { CpuProfile } from '@heki/x86';
import { decodeEptp, type EptpFault } from './eptp.ts';

/** EPTPs in an EPTP list, which is one page. */
const EPTP_LIST_ENTRIES = 512;

/** How a VMFUNC ended: another EPTP is to be used, or the instruction exits with basic reason 59. */
export type EptpSwitch =
  | {
      readonly switched: true;
      readonly eptp: bigint;
      /** What the VMCS field EPTP index takes, when EPT-violation #VE is on. */
      readonly eptpIndex: number;
    }
  | { readonly switched: false; readonly why: 'function' | 'index' | 'absent-list' | EptpFault };

/**
 * VMFUNC with EPTP switching, the only function there is: EAX = 0, ECX = index into the EPTP list (SDM 3C 26.5.6.3).
 * Any CPL may execute it. Cached translations are not flushed: they are tagged by the root.
 */
export function switchEptp(options: {
  readonly memory: PhysicalMemory<Pfn>;
  /** The host frame of the EPTP list (VMCS field EPTP-list address). */
  readonly list: Pfn;
  readonly processor: CpuProfile;
  readonly eax: number;
  readonly ecx: number;
}): EptpSwitch {
  const { memory, list, processor, eax, ecx } = options;
  if (eax >>> 0 !== 0) return { switched: false, why: 'function' };
  const index = ecx >>> 0;
  if (index >= EPTP_LIST_ENTRIES) return { switched: false, why: 'index' };
  const entry = readU64<Pfn>(memory, (addressOf(list) + index * 8) as Hpa);
  if (entry === undefined) return { switched: false, why: 'absent-list' };
  const eptp = (BigInt(entry.high) << 32n) | BigInt(entry.low);
  const { fault } = decodeEptp(eptp, processor);
  if (fault !== undefined) return { switched: false, why: fault };
  return { switched: true, eptp, eptpIndex: index };
}
