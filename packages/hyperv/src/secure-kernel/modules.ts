import { HvMapGpa, LvbsError, type LvbsRange, LvbsSection, type LvbsTextPatch } from '@heki/hypercall/hyperv';
import { frameOf, type Gfn, type Gpa, readBytes } from '@heki/physical-memory';
import type { MemoryPolicy } from './memory-policy.ts';
import { addressOfByte, type TextPatches } from './text-patches.ts';
import type { TrustedCode, TrustedKexecImage, TrustedModule, TrustedSection } from './trusted-code.ts';
import type { Vtl1 } from './vtl1-port.ts';

/** Pages of one module or image at most: 64 MiB. */
const MOST_PAGES = 16_384;
const { READABLE, WRITABLE, KERNEL_EXECUTABLE, USER_EXECUTABLE } = HvMapGpa;
const READ_ONLY = READABLE | USER_EXECUTABLE;
const DATA = READ_ONLY | WRITABLE;
const TEXT = READ_ONLY | KERNEL_EXECUTABLE;
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

/** What VTL1 does about code that comes after boot. Answers are 0, a token, or a negative `LvbsError`. */
export interface Modules {
  trust(module: TrustedModule): void;
  trustKexec(image: TrustedKexecImage): void;
  /** Compares what is loaded with a trusted module and gives its parts their rights. A token from 1 on. */
  validate(vtl1: Vtl1, ranges: readonly LvbsRange[]): number;
  freeInit(vtl1: Vtl1, token: bigint): number;
  unload(vtl1: Vtl1, token: bigint): number;
  kexec(vtl1: Vtl1, ranges: readonly LvbsRange[]): number;
  clear(): void;
}

interface Loaded {
  readonly ranges: readonly LvbsRange[];
}

export function createModules(policy: MemoryPolicy, patches: TextPatches, signed: TrustedCode): Modules {
  const trusted: TrustedModule[] = [];
  const images: TrustedKexecImage[] = [];
  /** Those that were named for this partition, then those that are signed. */
  const someModule = (test: (module: TrustedModule) => boolean): boolean =>
    trusted.some(test) || [...(signed.modules ?? [])].some(test);
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
    }
    return bytes;
  }

  /** Freezes pages, looks at them, and gives them back as they were when they are not what they should be. */
  function inspect(vtl1: Vtl1, ranges: readonly LvbsRange[], isGood: () => boolean): boolean {
    const good = setAll(vtl1, ranges, () => READ_ONLY) && isGood();
    if (!good) setAll(vtl1, ranges, () => DATA);
    return good;
  }

  function release(vtl1: Vtl1, ranges: readonly LvbsRange[]): void {
    setAll(vtl1, ranges, () => DATA);
    for (const range of ranges) {
      policy.claim(...frames(range), false);
      patches.remove(range.pa, range.epa);
    }
  }

  return {
    trust: (module) => void trusted.push(module),
    trustKexec: (image) => void images.push(image),
    validate(vtl1, ranges) {
      const parts = ranges.filter(({ attributes }) => attributes <= LvbsSection.INIT_RODATA);
      const tables = ranges.filter(({ attributes }) => attributes === LvbsSection.PATCHES);
      if (parts.length + tables.length !== ranges.length) return -LvbsError.EINVAL;
      if (!areFree(vtl1, parts)) return -LvbsError.EPERM;
      if (tables.reduce((sum, { pa, epa }) => sum + (epa - pa), 0) > MOST_PAGES * 4096)
        return -LvbsError.E2BIG;
      const own = patches.read(bytesOf(vtl1, tables));
      if (own === undefined || !own.every((patch) => isInText(patch, parts))) return -LvbsError.EINVAL;
      const known = inspect(vtl1, parts, () =>
        someModule((module) =>
          isSame(module, (kind) =>
            bytesOf(
              vtl1,
              parts.filter((p) => p.attributes === kind),
            ),
          ),
        ),
      );
      if (!known) return -LvbsError.EACCES;
      if (!patches.add(own)) {
        setAll(vtl1, parts, () => DATA);
        return -LvbsError.ENOMEM;
      }
      if (!setAll(vtl1, parts, ({ attributes }) => flagsOf(attributes))) return -LvbsError.ENOMEM;
      for (const part of parts) policy.claim(...frames(part), true);
      tokens++;
      loaded.set(tokens, { ranges: parts });
      return Number(tokens);
    },
    freeInit(vtl1, token) {
      const module = loaded.get(token);
      if (module === undefined) return -LvbsError.ENOENT;
      const init = module.ranges.filter(({ attributes }) => INIT.includes(attributes));
      release(vtl1, init);
      const rest = module.ranges.filter((range) => !init.includes(range));
      const sealed = rest.filter(({ attributes }) => attributes === LvbsSection.RO_AFTER_INIT);
      loaded.set(token, { ranges: rest });
      return setAll(vtl1, sealed, () => READ_ONLY) ? 0 : -LvbsError.ENOMEM;
    },
    unload(vtl1, token) {
      const module = loaded.get(token);
      if (module === undefined) return -LvbsError.ENOENT;
      release(vtl1, module.ranges);
      loaded.delete(token);
      return 0;
    },
    kexec(vtl1, ranges) {
      if (!areFree(vtl1, ranges)) return -LvbsError.EPERM;
      const known = inspect(vtl1, ranges, () => {
        const bytes = bytesOf(vtl1, ranges);
        return [...images, ...(signed.kexecImages ?? [])].some((image) => beginsWith(bytes, image.bytes, []));
      });
      if (!known) return -LvbsError.EACCES;
      // What hands over must run; the rest only stays as it is.
      const isText = ({ attributes }: LvbsRange): boolean => attributes === LvbsSection.TEXT;
      if (!setAll(vtl1, ranges.filter(isText), () => TEXT)) return -LvbsError.ENOMEM;
      for (const range of ranges) policy.claim(...frames(range), true);
      return 0;
    },
    clear() {
      loaded.clear();
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

function isSame(module: TrustedModule, bytesOfKind: (kind: number) => Uint8Array): boolean {
  return COMPARED.every((kind) => {
    const section = module.sections.find((each) => each.kind === kind);
    const bytes = bytesOfKind(kind);
    return section === undefined ? bytes.length === 0 : beginsWith(bytes, section.bytes, section.sites);
  });
}

/** Whether `bytes` is `original` but at the sites, and zero behind it, within its last page. */
function beginsWith(bytes: Uint8Array, original: Uint8Array, sites: TrustedSection['sites']): boolean {
  if (bytes.length !== Math.ceil(original.length / 4096) * 4096) return false;
  const expected = new Uint8Array(bytes.length);
  expected.set(original);
  for (const { offset, length } of sites) {
    const end = Math.min(offset + length, original.length);
    for (let at = Math.max(0, offset); at < end; at++) expected[at] = bytes[at] ?? 0;
  }
  return bytes.every((byte, i) => byte === expected[i]);
}
