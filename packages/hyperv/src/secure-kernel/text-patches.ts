import { Errno } from '@heki/hypercall/errno';
import { decodeLvbsTextPatch, LVBS_TEXT_PATCH_SIZE, type LvbsTextPatch } from '@heki/hypercall/hyperv';
import { type Gpa, readBytes, writeBytes } from '@heki/physical-memory';
import type { LvbsDefectSwitches } from '../defects/lvbs-defects.ts';
import type { Vtl1 } from './vtl1-port.ts';

/** INT3: the first step of text_poke. */
const BREAKPOINT = 0xcc;
/** The instruction that does nothing, by its length. */
const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
];
/** Patches that VTL1 keeps at most. */
export const MOST_PATCHES = 1 << 17;

/** Text that VTL0 may have changed, and into what: computed beforehand, at boot or for a module. */
export interface TextPatches {
  /** Reads patches, one behind the other; a zero length ends them early. `undefined` when one cannot be read. */
  read(bytes: Uint8Array): readonly LvbsTextPatch[] | undefined;
  /** `false` when there would be too many. */
  add(patches: readonly LvbsTextPatch[]): boolean;
  /** Forgets those that have a byte in the range; with B-L2 those that begin in it. */
  remove(start: number, end: number): void;
  /** Writes one step of text_poke for VTL0, if it leads to a known patch or to the NOP of its size. 0 or a negative error. */
  patch(vtl1: Vtl1, request: bigint): number;
  /** All of them. */
  save(): readonly LvbsTextPatch[];
  clear(): void;
}

/** Where byte `index` of a patch is: a patch that straddles goes on at the start of its second page. */
export function addressOfByte({ pa, secondPa }: LvbsTextPatch, index: number): number {
  const first = 4096 - (pa % 4096);
  return index < first ? pa + index : secondPa + (index - first);
}

/** What a site may hold: the patch, and the no-op of its size. */
function variantsOf({ bytes }: LvbsTextPatch): readonly Uint8Array[] {
  return [bytes, Uint8Array.from(NOPS[bytes.length] ?? [])];
}

export function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

function byteAt({ memory }: Vtl1, site: LvbsTextPatch, index: number): number {
  const byte = new Uint8Array(1);
  readBytes(memory, addressOfByte(site, index) as Gpa, byte);
  return byte[0] ?? 0;
}

export function createTextPatches(defects: LvbsDefectSwitches): TextPatches {
  const sites = new Map<number, LvbsTextPatch>();

  /** The patch that a store belongs to, and whether it is a step of it. */
  function allows(vtl1: Vtl1, { pa, bytes }: LvbsTextPatch): { patch: LvbsTextPatch; from: number } | number {
    const whole = sites.get(pa);
    if (whole !== undefined && bytes.length === 1) {
      return leavesVariant(vtl1, whole, bytes) ? { patch: whole, from: 0 } : -Errno.EACCES;
    }
    for (const site of candidates(pa)) {
      if (addressOfByte(site, 1) !== pa || bytes.length !== site.bytes.length - 1) continue;
      if (!variantsOf(site).some((variant) => isEqual(bytes, variant.subarray(1)))) return -Errno.EACCES;
      // The tail changes only under a breakpoint, or a processor could run half of each.
      return byteAt(vtl1, site, 0) === BREAKPOINT ? { patch: site, from: 1 } : -Errno.EINVAL;
    }
    return -Errno.ENOENT;
  }

  /** Whether a head may be stored: a breakpoint, or that of the variant whose tail is there. With B-L5 that of any variant. */
  function leavesVariant(vtl1: Vtl1, site: LvbsTextPatch, [head]: Uint8Array): boolean {
    if (head === BREAKPOINT) return true;
    const tail = Uint8Array.from({ length: site.bytes.length - 1 }, (_, i) => byteAt(vtl1, site, 1 + i));
    return variantsOf(site).some(
      (variant) => head === variant[0] && (defects['B-L5'] || isEqual(tail, variant.subarray(1))),
    );
  }

  function candidates(pa: number): LvbsTextPatch[] {
    const before = sites.get(pa - 1);
    if (before !== undefined) return [before];
    // The tail of a patch whose first byte is the last of its page is in another frame.
    return pa % 4096 === 0 ? [...sites.values()].filter((site) => site.secondPa === pa) : [];
  }

  return {
    read(bytes) {
      const patches: LvbsTextPatch[] = [];
      for (let at = 0; at + LVBS_TEXT_PATCH_SIZE <= bytes.length; at += LVBS_TEXT_PATCH_SIZE) {
        if (bytes[at + 16] === 0) break;
        const decoded = decodeLvbsTextPatch(bytes.subarray(at, at + LVBS_TEXT_PATCH_SIZE));
        if (!decoded.ok) return undefined;
        patches.push(decoded.message);
      }
      return patches;
    },
    add(patches) {
      if (sites.size + patches.length > MOST_PATCHES) return false;
      for (const patch of patches) sites.set(patch.pa, patch);
      return true;
    },
    remove(start, end) {
      const isInside = (at: number): boolean => at >= start && at < end;
      for (const patch of sites.values()) {
        const bytes = defects['B-L2'] ? 1 : patch.bytes.length;
        if (Array.from({ length: bytes }, (_, i) => addressOfByte(patch, i)).some(isInside)) {
          sites.delete(patch.pa);
        }
      }
    },
    patch(vtl1, request) {
      if (request % 8n !== 0n || request >= 1n << 52n) return -Errno.EINVAL;
      const raw = new Uint8Array(LVBS_TEXT_PATCH_SIZE);
      // Read once: what is checked is what is stored.
      if (readBytes(vtl1.memory, Number(request) as Gpa, raw) < raw.length) return -Errno.EFAULT;
      vtl1.yieldAt('guest-read');
      const decoded = decodeLvbsTextPatch(raw);
      if (!decoded.ok) return -Errno.EINVAL;
      const allowed = allows(vtl1, decoded.message);
      if (typeof allowed === 'number') return allowed;
      for (const [i, byte] of decoded.message.bytes.entries()) {
        const at = addressOfByte(allowed.patch, allowed.from + i) as Gpa;
        if (writeBytes(vtl1.memory, at, Uint8Array.of(byte)) < 1) return -Errno.EFAULT;
        vtl1.yieldAt('host-write');
      }
      return 0;
    },
    save: () => [...sites.values()],
    clear: () => sites.clear(),
  };
}
