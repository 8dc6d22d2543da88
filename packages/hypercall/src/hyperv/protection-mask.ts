import { fault, type HvDecoded, viewOf } from './error.ts';
import { readInputVtl, writeInputVtl } from './input-vtl.ts';

/** Map flags: what a lower VTL may do with a page (HV_MAP_GPA_FLAGS). */
export const HvMapGpa = {
  READABLE: 1,
  WRITABLE: 2,
  KERNEL_EXECUTABLE: 4,
  USER_EXECUTABLE: 8,
} as const;

/** All of {@link HvMapGpa}. */
export const HV_MAP_GPA_FULL_ACCESS = 0xf;

/**
 * Pages of one call of HvCallModifyVtlProtectionMask: the input is one page with a header of 16 bytes, (4096 - 16) / 8.
 */
export const HV_MODIFY_PROTECTION_MOST_PAGES = 510;

/** Bytes before the list of pages. */
const HEADER = 16;
const NUMBER = 8;
const TWO_TO_32 = 2 ** 32;

/** Input of HvCallModifyVtlProtectionMask (0x000C), a repeated call. */
export interface HvModifyProtection {
  readonly partition: bigint;
  /** {@link HvMapGpa} bits; as they come from the wire, any of 32. */
  readonly flags: number;
  /** The VTL whose protection it is: the access of all VTLs below it is restricted. `undefined`: the caller's own. */
  readonly targetVtl: number | undefined;
  /** Guest page numbers. From 2^53 on, where no memory is, they are rounded. */
  readonly pages: ArrayLike<number>;
}

/** The bytes of a call. */
export function encodeHvModifyProtection(input: HvModifyProtection): Uint8Array {
  const bytes = new Uint8Array(HEADER + NUMBER * input.pages.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, input.partition, true);
  view.setUint32(8, input.flags, true);
  writeInputVtl(view, 12, input.targetVtl);
  const { pages } = input;
  for (let i = 0; i < pages.length; i++) {
    const page = pages[i] ?? 0;
    view.setUint32(HEADER + NUMBER * i, page % TWO_TO_32, true);
    view.setUint32(HEADER + NUMBER * i + 4, page / TWO_TO_32, true);
  }
  return bytes;
}

/** Reads the input of a call of `repCount` elements from any bytes. */
export function decodeHvModifyProtection(bytes: Uint8Array, repCount: number): HvDecoded<HvModifyProtection> {
  if (!(repCount >= 1 && repCount <= HV_MODIFY_PROTECTION_MOST_PAGES)) {
    return fault(
      'rep count',
      Math.max(0, Math.trunc(repCount) || 0),
      `1 to ${HV_MODIFY_PROTECTION_MOST_PAGES}`,
    );
  }
  const read = viewOf(bytes, HEADER + NUMBER * repCount);
  if (!read.ok) return read;
  const view = read.message;
  const flags = view.getUint32(8, true);
  const target = readInputVtl(view, 12);
  if (!target.ok) return target;
  const zeros = view.getUint8(13) | view.getUint16(14, true);
  if (zeros !== 0) return fault('reserved', zeros, '0');
  const pages = new Float64Array(repCount);
  for (let i = 0; i < repCount; i++) {
    const at = HEADER + NUMBER * i;
    pages[i] = view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_TO_32;
  }
  return {
    ok: true,
    message: {
      partition: view.getBigUint64(0, true),
      flags,
      targetVtl: target.message,
      pages,
    },
  };
}
