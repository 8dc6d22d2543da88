import {
  firstBehind,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { type PagingLevels, upperHalfStart } from '@heki/x86';
import { KERNEL_MAP } from '../root/kernel-tables.ts';
import type { ImageSections } from './image-sections.ts';
import type { VirtualRange } from './virtual-range.ts';

/** The regions of a kernel's half (Linux, Documentation/arch/x86/x86_64/mm.rst), the image by its parts. */
export const REGION_NAMES = [
  'direct map',
  'vmalloc',
  'vmemmap',
  'vmalloc or vmemmap',
  'KASAN shadow',
  'LDT remap',
  'cpu_entry_area',
  'espfix',
  'EFI',
  'kernel text',
  'kernel rodata',
  'kernel data',
  'kernel image window',
  'modules',
  'fixmap',
  'vsyscall',
  'hole',
] as const;
export type RegionName = (typeof REGION_NAMES)[number];

/** A part of the kernel's half. */
export interface Region extends VirtualRange {
  readonly name: RegionName;
}

/** What of a kernel's tables tells where its half is laid out. */
export interface KernelPlace {
  readonly levels: PagingLevels;
  readonly directMap: VirtualRange;
}

/** Where the bases that KASLR moves are, as far as symbols tell (`vmalloc_base`, `vmemmap_base`). */
export interface RegionBases {
  readonly vmalloc?: VirtualAddress | undefined;
  readonly vmemmap?: VirtualAddress | undefined;
}

const frame = (address: bigint): VirtualFrame => virtualFrameOf(virtualAddress(address));

/** Where a kernel without KASLR has them. */
const DEFAULT_BASES = {
  4: {
    direct: frame(0xffff_8880_0000_0000n),
    vmalloc: frame(0xffff_c900_0000_0000n),
    vmemmap: frame(0xffff_ea00_0000_0000n),
  },
  5: {
    direct: frame(0xff11_0000_0000_0000n),
    vmalloc: frame(0xffa0_0000_0000_0000n),
    vmemmap: frame(0xffd4_0000_0000_0000n),
  },
} as const;
const LDT = { 4: frame(0xffff_8800_0000_0000n), 5: frame(0xff10_0000_0000_0000n) } as const;
const LDT_FRAMES = { 4: 2 ** 27, 5: 2 ** 36 } as const;
const VMEMMAP_FRAMES = { 4: 2 ** 28, 5: 2 ** 37 } as const;
const KASAN = { 4: frame(0xffff_ec00_0000_0000n), 5: frame(0xffdf_0000_0000_0000n) } as const;

/** The same for 4 and 5 levels. */
const CPU_ENTRY_AREA = frame(0xffff_fe00_0000_0000n);
const ESPFIX = frame(0xffff_ff00_0000_0000n);
const ESPFIX_END = frame(0xffff_ff80_0000_0000n);
const EFI = frame(0xffff_ffef_0000_0000n);
const EFI_END = frame(0xffff_ffff_0000_0000n);
const MODULES_END = frame(0xffff_ffff_ff00_0000n);
const VSYSCALL = frame(0xffff_ffff_ff60_0000n);
const END = 2 ** 52;
/** The image's window: 512 MiB, and 1 GiB where KASLR is built in. */
const WINDOWS = [2 ** 17, 2 ** 18] as const;

/** Whether the direct map begins where it does without KASLR: at each boot of such a kernel. */
export function hasStandardBase({ levels, directMap }: KernelPlace): boolean {
  return directMap.start === DEFAULT_BASES[levels].direct;
}

/** The regions of the kernel's half, ascending, apart, and without gaps: what is nothing else is a `hole`. */
export function kernelRegions(
  { levels, directMap }: KernelPlace,
  sections: ImageSections,
  bases: RegionBases = {},
): Region[] {
  const { image, text, rodata } = sections;
  const window = WINDOWS.find((frames) => image.end <= KERNEL_MAP + frames) ?? WINDOWS[1];
  const wanted: Region[] = [
    region('LDT remap', LDT[levels], LDT[levels] + LDT_FRAMES[levels]),
    ...dynamicRegions(levels, directMap, bases),
    region('cpu_entry_area', CPU_ENTRY_AREA, ESPFIX),
    region('espfix', ESPFIX, ESPFIX_END),
    region('EFI', EFI, EFI_END),
    region('kernel image window', KERNEL_MAP, image.start),
    region('kernel text', text.start, text.end),
    ...(rodata === undefined
      ? [region('kernel data', text.end, image.end)]
      : [
          region('kernel data', text.end, rodata.start),
          region('kernel rodata', rodata.start, rodata.end),
          region('kernel data', rodata.end, image.end),
        ]),
    region('kernel image window', image.end, KERNEL_MAP + window),
    // Without KASLR built in, modules begin at 512 MiB, else at 1 GiB.
    region('modules', Math.max(image.end, KERNEL_MAP + window), MODULES_END),
    region('fixmap', MODULES_END, VSYSCALL),
    region('vsyscall', VSYSCALL, VSYSCALL + 1),
    region('fixmap', VSYSCALL + 1, END),
  ];
  return withHoles(
    wanted.filter(({ start, end }) => start < end),
    upperHalfStart(levels),
  );
}

/** The region that `virtualFrame` lies in. */
export function regionAt(regions: readonly Region[], virtualFrame: VirtualFrame): RegionName {
  const found = regions[firstBehind(regions, virtualFrame)];
  return found !== undefined && found.start <= virtualFrame ? found.name : 'hole';
}

/** The direct map, vmalloc and vmemmap: KASLR keeps their order and moves their bases (Linux, kernel_randomize_memory). */
function dynamicRegions(levels: PagingLevels, directMap: VirtualRange, bases: RegionBases): Region[] {
  const standard = DEFAULT_BASES[levels];
  const isStandard = hasStandardBase({ levels, directMap });
  const vmalloc = baseFrame(bases.vmalloc) ?? (isStandard ? standard.vmalloc : undefined);
  const vmemmap = baseFrame(bases.vmemmap) ?? (isStandard ? standard.vmemmap : undefined);
  const directEnd = Math.min(directMap.end, vmalloc ?? END);
  const direct = region('direct map', directMap.start, directEnd);
  if (vmemmap === undefined) return [direct, region('vmalloc or vmemmap', directEnd, CPU_ENTRY_AREA)];
  const vmemmapEnd = Math.min(vmemmap + VMEMMAP_FRAMES[levels], CPU_ENTRY_AREA);
  return [
    direct,
    // Where its own base is not known, what lies between the two counts as vmalloc's.
    region('vmalloc', vmalloc ?? directEnd, vmemmap),
    region('vmemmap', vmemmap, vmemmapEnd),
    region('KASAN shadow', Math.max(vmemmapEnd, KASAN[levels]), CPU_ENTRY_AREA),
  ];
}

function baseFrame(address: VirtualAddress | undefined): VirtualFrame | undefined {
  return address === undefined || address === 0n ? undefined : virtualFrameOf(address);
}

function region(name: RegionName, start: number, end: number): Region {
  return { name, start: start as VirtualFrame, end: end as VirtualFrame };
}

/** `regions` in order, cut where one begins in another, with holes between. */
function withHoles(regions: readonly Region[], first: number): Region[] {
  const all: Region[] = [];
  let at = first;
  for (const { name, start, end } of [...regions].sort((a, b) => a.start - b.start)) {
    if (end <= at) continue;
    if (start > at) all.push(region('hole', at, start));
    all.push(region(name, Math.max(start, at), end));
    at = end;
  }
  if (at < END) all.push(region('hole', at, END));
  return all;
}
