import {
  addressOf,
  frameOf,
  type Gfn,
  type Gpa,
  PAGE_SIZE,
  PHYSICAL_ADDRESS_END,
  type PhysicalMemory,
} from '@heki/physical-memory';
import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '../kvm/permission.ts';
import { fault, type HvDecoded } from './error.ts';
import { HvMapGpa } from './protection-mask.ts';

/**
 * Functions of the secure kernel in VTL1 of LVBS (Linux Virtualization Based Security). A VTL call passes the number in
 * RDI and arguments in RSI, RDX and R8; the answer comes in R8: 0, a positive value or a negated error number of Linux.
 */
export const LvbsFunction = {
  ENABLE_APS: 0x1_ffe0,
  BOOT_APS: 0x1_ffe1,
  LOCK_REGS: 0x1_ffe2,
  /** From now on nothing is protected by request, and no data is loaded. */
  SIGNAL_END_OF_BOOT: 0x1_ffe3,
  /** RSI: address of the first page of ranges, RDX: ranges in all. */
  PROTECT_MEMORY: 0x1_ffe4,
  LOAD_KDATA: 0x1_ffe5,
  VALIDATE_MODULE: 0x1_ffe6,
  /** RSI: token of the module. */
  FREE_MODULE_INIT: 0x1_ffe7,
  UNLOAD_MODULE: 0x1_ffe8,
  COPY_SECONDARY_KEY: 0x1_ffe9,
  KEXEC_VALIDATE: 0x1_ffea,
  /** RSI: address of a {@link LvbsTextPatch}. */
  PATCH_TEXT: 0x1_ffeb,
  ALLOCATE_RINGBUFFER: 0x1_ffec,
} as const;

/** What the attributes of a range mean in VALIDATE_MODULE, LOAD_KDATA and KEXEC_VALIDATE: mod_mem_type, and two more. */
export const LvbsSection = {
  TEXT: 0,
  DATA: 1,
  RODATA: 2,
  RO_AFTER_INIT: 3,
  INIT_TEXT: 4,
  INIT_DATA: 5,
  INIT_RODATA: 6,
  /** {@link LvbsTextPatch} entries, one behind the other. */
  PATCHES: 8,
} as const;

/** One range of the wire: `struct heki_range`, 32 bytes. */
export interface LvbsRange {
  /** Where the kernel has it mapped. */
  readonly va: bigint;
  readonly pa: Gpa;
  /** Exclusive. */
  readonly epa: Gpa;
  /** MEM_ATTR bits for PROTECT_MEMORY, {@link LvbsSection} otherwise. */
  readonly attributes: number;
}

/** Ranges in a page: (4096 - 24) / 32. */
export const LVBS_RANGES_PER_PAGE = 127;
const HEADER_WORDS = 6;
const RANGE_WORDS = 8;
const TWO_TO_32 = 2 ** 32;

/**
 * Writes ranges into as many of `frames` as they need, `struct heki_page`: next (virtual, 0 here), next_pa, nranges, then the
 * ranges, oldest first. Gives the address of the first page, 0 for no ranges; `undefined` when there are too few frames or
 * one has no memory.
 */
export function encodeLvbsRanges(options: {
  readonly memory: Pick<PhysicalMemory<Gfn>, 'writablePage'>;
  readonly frames: readonly Gfn[];
  readonly ranges: readonly LvbsRange[];
}): Gpa | undefined {
  const { memory, frames, ranges } = options;
  const pages = Math.ceil(ranges.length / LVBS_RANGES_PER_PAGE);
  for (let i = 0; i < pages; i++) {
    const frame = frames[i];
    const page = frame === undefined ? undefined : memory.writablePage(frame);
    if (page === undefined) return undefined;
    const next = i + 1 < pages ? frames[i + 1] : undefined;
    const own = ranges.slice(i * LVBS_RANGES_PER_PAGE, (i + 1) * LVBS_RANGES_PER_PAGE);
    page.fill(0, 0, HEADER_WORDS);
    if (next !== undefined) putNumber(page, 2, addressOf(next));
    page[4] = own.length;
    for (const [index, { va, pa, epa, attributes }] of own.entries()) {
      const word = HEADER_WORDS + RANGE_WORDS * index;
      page[word] = Number(va & 0xffff_ffffn);
      page[word + 1] = Number((va >> 32n) & 0xffff_ffffn);
      putNumber(page, word + 2, pa);
      putNumber(page, word + 4, epa);
      putNumber(page, word + 6, attributes);
    }
  }
  return pages === 0 ? (0 as Gpa) : addressOf(frames[0] as Gfn);
}

function putNumber(page: Uint32Array, word: number, value: number): void {
  page[word] = value;
  page[word + 1] = value / TWO_TO_32;
}

/** Pages of ranges that are read unless told otherwise: 520,192 ranges. */
export const LVBS_DEFAULT_MOST_PAGES = 4096;

/**
 * Reads ranges from guest memory whatever the bytes are, each field once. Every page must hold a range and no page comes
 * twice, so that a page with nranges 0 that is its own successor ends the walk instead of going on for ever (the
 * published enforcer grows without bound there). The sum must be `total`.
 */
export function decodeLvbsRanges(options: {
  readonly memory: PhysicalMemory<Gfn>;
  /** As the register holds them. */
  readonly first: bigint;
  readonly total: bigint;
  readonly mostPages?: number;
}): HvDecoded<readonly LvbsRange[]> {
  const { memory, total, mostPages = LVBS_DEFAULT_MOST_PAGES } = options;
  if (total < 1n || total > BigInt(mostPages * LVBS_RANGES_PER_PAGE)) {
    return fault('total of ranges', total, `1 to ${mostPages * LVBS_RANGES_PER_PAGE}`);
  }
  const ranges: LvbsRange[] = [];
  const seen = new Set<number>();
  for (let next = options.first; next !== 0n; ) {
    if (next % 4096n !== 0n || next >= BigInt(PHYSICAL_ADDRESS_END)) {
      return fault('page address', next, 'a page-aligned address below 2^52');
    }
    const frame = frameOf(Number(next) as Gpa);
    if (seen.has(frame)) return fault('page address', next, 'a page that is not in the list yet');
    if (seen.size === mostPages) return fault('pages', seen.size + 1, `at most ${mostPages}`);
    seen.add(frame);
    const page = memory.page(frame);
    if (page === undefined) return fault('page address', next, 'memory');
    const words = Uint32Array.from(page);
    const count = toBigInt(words, 4);
    if (count < 1n || count > BigInt(LVBS_RANGES_PER_PAGE)) {
      return fault('nranges', count, `1 to ${LVBS_RANGES_PER_PAGE}`);
    }
    for (let i = 0; i < Number(count); i++) {
      const word = HEADER_WORDS + RANGE_WORDS * i;
      const [pa, epa, attributes] = [
        toBigInt(words, word + 2),
        toBigInt(words, word + 4),
        toBigInt(words, word + 6),
      ];
      if (pa >= epa || epa > BigInt(PHYSICAL_ADDRESS_END)) {
        return fault('range', epa, `an end above 0x${pa.toString(16)} and at most 2^52`);
      }
      if (attributes > 0xfn) return fault('attributes', attributes, '0 to 15');
      const va = toBigInt(words, word);
      ranges.push({ va, pa: Number(pa) as Gpa, epa: Number(epa) as Gpa, attributes: Number(attributes) });
    }
    next = toBigInt(words, 2);
  }
  if (BigInt(ranges.length) !== total) return fault('total of ranges', total, String(ranges.length));
  return { ok: true, message: ranges };
}

function toBigInt(words: Uint32Array, word: number): bigint {
  return (BigInt(words[word + 1] ?? 0) << 32n) | BigInt(words[word] ?? 0);
}

/**
 * Map flags for attributes: READ becomes readable and user-executable, WRITE writable, EXEC executable for kernel and user.
 * The user's execution is never restricted for what can be read: the split that Heki makes with MBEC.
 */
export function mapFlagsOfAttributes(attributes: number): number {
  return (
    ((attributes & MEM_ATTR_READ) !== 0 ? HvMapGpa.READABLE | HvMapGpa.USER_EXECUTABLE : 0) |
    ((attributes & MEM_ATTR_WRITE) !== 0 ? HvMapGpa.WRITABLE : 0) |
    ((attributes & MEM_ATTR_EXEC) !== 0 ? HvMapGpa.KERNEL_EXECUTABLE | HvMapGpa.USER_EXECUTABLE : 0)
  );
}

/** Most bytes of a text patch. */
export const LVBS_MOST_PATCH_BYTES = 5;
/** Bytes of a {@link LvbsTextPatch}: two u64 addresses, a length, and the bytes, padded. The layout is this project's own. */
export const LVBS_TEXT_PATCH_SIZE = 32;

/** A store to text: what a kernel asks for in a step of text_poke, or what was computed beforehand for a site. */
export interface LvbsTextPatch {
  /** Where its bytes begin. */
  readonly pa: Gpa;
  /** Where they go on when they straddle a page: the start of that page. 0 when they do not. */
  readonly secondPa: Gpa;
  /** 1 .. 5 bytes. */
  readonly bytes: Uint8Array;
}

export function encodeLvbsTextPatch({ pa, secondPa, bytes }: LvbsTextPatch): Uint8Array {
  const encoded = new Uint8Array(LVBS_TEXT_PATCH_SIZE);
  const view = new DataView(encoded.buffer);
  view.setBigUint64(0, BigInt(pa), true);
  view.setBigUint64(8, BigInt(secondPa), true);
  view.setUint8(16, bytes.length);
  encoded.set(bytes.subarray(0, LVBS_MOST_PATCH_BYTES), 17);
  return encoded;
}

/** Reads a patch from any bytes. A patch straddles exactly when it has a second address, which begins a page. */
export function decodeLvbsTextPatch(bytes: Uint8Array): HvDecoded<LvbsTextPatch> {
  if (bytes.length < LVBS_TEXT_PATCH_SIZE)
    return fault('length', bytes.length, `${LVBS_TEXT_PATCH_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const pa = view.getBigUint64(0, true);
  const second = view.getBigUint64(8, true);
  const length = view.getUint8(16);
  if (length < 1 || length > LVBS_MOST_PATCH_BYTES)
    return fault('length', length, `1 to ${LVBS_MOST_PATCH_BYTES}`);
  if (pa >= BigInt(PHYSICAL_ADDRESS_END)) return fault('pa', pa, 'below 2^52');
  const straddles = Number(pa % BigInt(PAGE_SIZE)) + length > PAGE_SIZE;
  if (straddles !== (second !== 0n) || second % 4096n !== 0n || second >= BigInt(PHYSICAL_ADDRESS_END)) {
    return fault('second pa', second, straddles ? 'a page-aligned address below 2^52' : '0');
  }
  return {
    ok: true,
    message: { pa: Number(pa) as Gpa, secondPa: Number(second) as Gpa, bytes: bytes.slice(17, 17 + length) },
  };
}
