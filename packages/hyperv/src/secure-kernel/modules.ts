import { Errno } from '@heki/hypercall/errno';
import { HvMapGpa, type LvbsRange, LvbsSection, type LvbsTextPatch } from '@heki/hypercall/hyperv';
import { frameOf, type Gfn, type Gpa, PAGE_SIZE, readBytes, writeBytes } from '@heki/physical-memory';
import type { LvbsDefectSwitches } from '../defects/lvbs-defects.ts';
import type { MemoryPolicy } from './memory-policy.ts';
import { addressOfByte, isEqual, type TextPatches } from './text-patches.ts';
import type { TrustedCode, TrustedKexecImage, TrustedModule, TrustedSite } from './trusted-code.ts';
import type { Vtl1 } from './vtl1-port.ts';

/** Pages of one module or image at most: 64 MiB. */
const MOST_PAGES = 16_384;
const { READABLE, WRITABLE, KERNEL_EXECUTABLE, USER_EXECUTABLE } = HvMapGpa;
const READ_ONLY = READABLE | USER_EXECUTABLE;
const DATA = READ_ONLY | WRITABLE;
const TEXT = READ_ONLY | KERNEL_EXECUTABLE;
const NO_ACCESS = 0;
const INIT: readonly number[] = [LvbsSection.INIT_TEXT, LvbsSection.INIT_DATA, LvbsSection.INIT_RODATA];
/** What a loader may not change but at declared sites. */
const COMPARED: readonly number[] = [
  LvbsSection.TEXT,
  LvbsSection.RODATA,
  LvbsSection.INIT_TEXT,
  LvbsSection.INIT_RODATA,
];

function flagsOf(kind: number): number {
  if (kind === LvbsSection.TEXT || kind === LvbsSection.INIT_TEXT) return TEXT;
  return kind === LvbsSection.RODATA || kind === LvbsSection.INIT_RODATA ? READ_ONLY : DATA;
}

/** What VTL1 does about code that comes after boot. Answers are 0, a token, or a negative error number of Linux. */
export interface Modules {
  trust(module: TrustedModule): void;
  trustKexec(image: TrustedKexecImage): void;
  /** Compares what is loaded with a trusted module and gives its parts their rights. A token from 1 on. */
  validate(vtl1: Vtl1, ranges: readonly LvbsRange[]): number;
  freeInit(vtl1: Vtl1, token: bigint): number;
  unload(vtl1: Vtl1, token: bigint): number;
  /**
   * Compares a kernel to hand over to with the trusted ones, and freezes it. What an earlier call froze is released first, whatever
   * comes of this one; no ranges only release. A kernel for crashes has a place of its own.
   */
  kexec(vtl1: Vtl1, ranges: readonly LvbsRange[], crash: boolean): number;
  clear(): void;
  save(): SavedModules;
  replace(saved: SavedModules): void;
}

/** What VTL1 knows of modules and kernels: what was loaded under which token, and what it was told to trust for this partition. */
export interface SavedModules {
  /** The latest token. */
  readonly tokens: bigint;
  readonly loaded: readonly { readonly token: bigint; readonly ranges: readonly LvbsRange[] }[];
  readonly frozen: readonly { readonly crash: boolean; readonly ranges: readonly LvbsRange[] }[];
  readonly trusted: readonly TrustedModule[];
  readonly images: readonly TrustedKexecImage[];
}

interface Loaded {
  readonly ranges: readonly LvbsRange[];
}

export function createModules(
  policy: MemoryPolicy,
  patches: TextPatches,
  signed: TrustedCode,
  defects: LvbsDefectSwitches,
): Modules {
  const trusted: TrustedModule[] = [];
  const images: TrustedKexecImage[] = [];
  /** Those that were named for this partition, then those that are signed. */
  function* knownModules(): IterableIterator<TrustedModule> {
    yield* trusted;
    yield* signed.modules ?? [];
  }
  /** The kernels to hand over to that are frozen: for kexec and for crashes. */
  const frozen = new Map<boolean, readonly LvbsRange[]>();
  const loaded = new Map<bigint, Loaded>();
  let tokens = 0n;

  const frames = ({ pa, epa }: LvbsRange): [Gfn, Gfn] => [frameOf(pa), frameOf(epa)];
  const setAll = (vtl1: Vtl1, ranges: readonly LvbsRange[], flags: (range: LvbsRange) => number): boolean =>
    ranges.every((range) => policy.set(vtl1, ...frames(range), flags(range)) === 0);

  /** Whether the ranges are whole pages of plain data memory that nothing else was promised for. */
  function areFree(vtl1: Vtl1, ranges: readonly LvbsRange[]): boolean {
    let pages = 0;
    const taken = new Set<number>();
    for (const range of ranges) {
      const [start, end] = frames(range);
      pages += end - start;
      if (range.pa % 4096 !== 0 || range.epa % 4096 !== 0 || pages > MOST_PAGES) return false;
      if (policy.isClaimed(start, end) || !policy.isData(start, end)) return false;
      const ram = vtl1.ram(start, end).reduce((sum, part) => sum + (part.end - part.start), 0);
      if (ram !== end - start) return false;
      for (let gfn: number = start; gfn < end; gfn++) taken.add(gfn);
    }
    return taken.size === pages && pages > 0;
  }

  function bytesOf(vtl1: Vtl1, ranges: readonly LvbsRange[]): Uint8Array {
    const bytes = new Uint8Array(ranges.reduce((sum, { pa, epa }) => sum + (epa - pa), 0));
    let at = 0;
    for (const { pa, epa } of ranges) {
      readBytes(vtl1.memory, pa, bytes.subarray(at, at + (epa - pa)));
      at += epa - pa;
      vtl1.yieldAt('guest-read');
    }
    return bytes;
  }

  /** Freezes pages and looks at them. Where `look` finds nothing they are given back as they were. With B-L6 they are not frozen. */
  function inspect<Found>(
    vtl1: Vtl1,
    ranges: readonly LvbsRange[],
    look: () => Found | undefined,
  ): Found | undefined {
    if (defects['B-L6']) return look();
    const found = setAll(vtl1, ranges, () => READ_ONLY) ? look() : undefined;
    if (found === undefined) setAll(vtl1, ranges, () => DATA);
    return found;
  }

  /**
   * Pages belong to a module or an image from now on. What they were before has no patches in them any more: text of the kernel's own that it
   * gave up has been data since, of which VTL1 is not told (B-L2).
   */
  function take(ranges: readonly LvbsRange[]): void {
    for (const range of ranges) {
      policy.claim(...frames(range), true);
      if (!defects['B-L2']) patches.remove(range.pa, range.epa);
    }
  }

  /** Makes pages plain data again. Without B-L4 VTL0 does not reach what they held: no access, then zeros, then data. */
  function release(vtl1: Vtl1, ranges: readonly LvbsRange[]): void {
    if (!defects['B-L4']) {
      setAll(vtl1, ranges, () => NO_ACCESS);
      for (const { pa, epa } of ranges) writeBytes(vtl1.memory, pa, new Uint8Array(epa - pa));
    }
    setAll(vtl1, ranges, () => DATA);
    for (const range of ranges) {
      policy.claim(...frames(range), false);
      patches.remove(range.pa, range.epa);
    }
  }

  /**
   * What a module's text may be patched into: what was signed, where VTL0's own table may name any of it. With B-L1 it is the table.
   * `undefined` when VTL0 names something else.
   */
  function patchesOf(
    module: TrustedModule,
    parts: readonly LvbsRange[],
    table: readonly LvbsTextPatch[],
  ): readonly LvbsTextPatch[] | undefined {
    if (defects['B-L1']) return table;
    const own = signedPatches(module, parts);
    const byAddress = new Map(own.map((patch) => [patch.pa, patch]));
    const isOwn = ({ pa, secondPa, bytes }: LvbsTextPatch): boolean => {
      const patch = byAddress.get(pa);
      return patch !== undefined && patch.secondPa === secondPa && isEqual(patch.bytes, bytes);
    };
    return table.every(isOwn) ? own : undefined;
  }

  return {
    trust: (module) => void trusted.push(module),
    trustKexec: (image) => void images.push(image),
    validate(vtl1, ranges) {
      const parts = ranges.filter(({ attributes }) => attributes <= LvbsSection.INIT_RODATA);
      const tables = ranges.filter(({ attributes }) => attributes === LvbsSection.PATCHES);
      if (parts.length + tables.length !== ranges.length) return -Errno.EINVAL;
      if (!areFree(vtl1, parts)) return -Errno.EPERM;
      if (tables.reduce((sum, { pa, epa }) => sum + (epa - pa), 0) > MOST_PAGES * 4096) return -Errno.E2BIG;
      const table = patches.read(bytesOf(vtl1, tables));
      if (table === undefined || !table.every((patch) => isInText(patch, parts))) return -Errno.EINVAL;
      const ofKind = (kind: number): readonly LvbsRange[] => parts.filter((p) => p.attributes === kind);
      const own = inspect(vtl1, parts, () => {
        const bytes = new Map(COMPARED.map((kind) => [kind, bytesOf(vtl1, ofKind(kind))]));
        for (const module of knownModules()) {
          const found = isSame(module, bytes, defects) ? patchesOf(module, parts, table) : undefined;
          if (found !== undefined) return found;
        }
        return undefined;
      });
      if (own === undefined) return -Errno.EACCES;
      take(parts);
      if (!patches.add(own)) {
        release(vtl1, parts);
        return -Errno.ENOMEM;
      }
      if (!setAll(vtl1, parts, ({ attributes }) => flagsOf(attributes))) {
        release(vtl1, parts);
        return -Errno.ENOMEM;
      }
      tokens++;
      loaded.set(tokens, { ranges: parts });
      return Number(tokens);
    },
    freeInit(vtl1, token) {
      const module = loaded.get(token);
      if (module === undefined) return -Errno.ENOENT;
      const init = module.ranges.filter(({ attributes }) => INIT.includes(attributes));
      release(vtl1, init);
      const rest = module.ranges.filter((range) => !init.includes(range));
      const sealed = rest.filter(({ attributes }) => attributes === LvbsSection.RO_AFTER_INIT);
      loaded.set(token, { ranges: rest });
      return setAll(vtl1, sealed, () => READ_ONLY) ? 0 : -Errno.ENOMEM;
    },
    unload(vtl1, token) {
      const module = loaded.get(token);
      if (module === undefined) return -Errno.ENOENT;
      release(vtl1, module.ranges);
      loaded.delete(token);
      return 0;
    },
    kexec(vtl1, ranges, crash) {
      release(vtl1, frozen.get(crash) ?? []);
      frozen.delete(crash);
      if (ranges.length === 0) return 0;
      if (!areFree(vtl1, ranges)) return -Errno.EPERM;
      const known = inspect(vtl1, ranges, () => {
        const bytes = bytesOf(vtl1, ranges);
        return [...images, ...(signed.kexecImages ?? [])].find((image) =>
          beginsWith(bytes, image.bytes, [], defects),
        );
      });
      if (known === undefined) return -Errno.EACCES;
      take(ranges);
      // What hands over must run; the rest only stays as it is.
      const isText = ({ attributes }: LvbsRange): boolean => attributes === LvbsSection.TEXT;
      if (!setAll(vtl1, ranges.filter(isText), () => TEXT)) {
        release(vtl1, ranges);
        return -Errno.ENOMEM;
      }
      frozen.set(crash, ranges);
      return 0;
    },
    clear() {
      loaded.clear();
      frozen.clear();
    },
    save: () => ({
      tokens,
      loaded: [...loaded].map(([token, { ranges }]) => ({ token, ranges })),
      frozen: [...frozen].map(([crash, ranges]) => ({ crash, ranges })),
      trusted: [...trusted],
      images: [...images],
    }),
    replace(saved) {
      tokens = saved.tokens;
      loaded.clear();
      frozen.clear();
      for (const { token, ranges } of saved.loaded) loaded.set(token, { ranges });
      for (const { crash, ranges } of saved.frozen) frozen.set(crash, ranges);
      trusted.splice(0, trusted.length, ...saved.trusted);
      images.splice(0, images.length, ...saved.images);
    },
  };
}

/** A module's own patches change its own text and nothing else. */
function isInText(patch: LvbsTextPatch, parts: readonly LvbsRange[]): boolean {
  return patch.bytes.every((_, i) => {
    const at = addressOfByte(patch, i) as Gpa;
    return parts.some(
      ({ pa, epa, attributes }) =>
        (attributes === LvbsSection.TEXT || attributes === LvbsSection.INIT_TEXT) && at >= pa && at < epa,
    );
  });
}

function isSame(
  module: TrustedModule,
  loaded: ReadonlyMap<number, Uint8Array>,
  defects: LvbsDefectSwitches,
): boolean {
  return COMPARED.every((kind) => {
    const section = module.sections.find((each) => each.kind === kind);
    const bytes = loaded.get(kind) ?? new Uint8Array();
    return section === undefined
      ? bytes.length === 0
      : beginsWith(bytes, section.bytes, section.sites, defects);
  });
}

/** Whether `bytes` is `original` but at the sites, and zero behind it, within its last page. With B-L3 a site may hold anything. */
function beginsWith(
  bytes: Uint8Array,
  original: Uint8Array,
  sites: readonly TrustedSite[],
  defects: LvbsDefectSwitches,
): boolean {
  if (bytes.length !== Math.ceil(original.length / PAGE_SIZE) * PAGE_SIZE) return false;
  const expected = new Uint8Array(bytes.length);
  expected.set(original);
  for (const { offset, length, values = [] } of sites) {
    const start = Math.max(0, offset);
    const there = bytes.subarray(start, Math.max(start, Math.min(offset + length, original.length)));
    const isValue = (value: Uint8Array): boolean => isEqual(value.subarray(start - offset), there);
    if (defects['B-L3'] || values.some(isValue)) expected.set(there, start);
  }
  return isEqual(bytes, expected);
}

/** The physical addresses of the patches that were signed with a module, in the frames that VTL0 has put its parts into. */
function signedPatches(module: TrustedModule, parts: readonly LvbsRange[]): LvbsTextPatch[] {
  return module.sections.flatMap(({ kind, patches = [] }) => {
    const pages = parts
      .filter(({ attributes }) => attributes === kind)
      .flatMap(({ pa, epa }) => Array.from({ length: (epa - pa) / PAGE_SIZE }, (_, i) => pa + i * PAGE_SIZE));
    const page = (offset: number): number => pages[Math.floor(offset / PAGE_SIZE)] ?? 0;
    return patches.map(({ offset, bytes }): LvbsTextPatch => {
      const straddles = (offset % PAGE_SIZE) + bytes.length > PAGE_SIZE;
      return {
        pa: (page(offset) + (offset % PAGE_SIZE)) as Gpa,
        secondPa: (straddles ? page(offset + bytes.length - 1) : 0) as Gpa,
        bytes,
      };
    });
  });
}
