import { PAGE_SIZE, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import { PageRights, walkMappings } from '@heki/x86';
import { GIB_FRAMES, KERNEL_MAP } from '../root/kernel-tables.ts';
import type { ProvenRoot } from '../root/proven-root.ts';
import type { VirtualRange } from './virtual-range.ts';

/** Where the parts of a kernel's image are mapped. */
export interface ImageSections {
  /** From the first page of text to the last of .bss and .brk. */
  readonly image: VirtualRange;
  readonly text: VirtualRange;
  /** Constants, and what is constant after init. */
  readonly rodata: VirtualRange | undefined;
  /** Virtual frame less frame: an image is mapped in one piece. */
  readonly distance: number;
  /** What told: symbols, the lines `Kernel code` and `Kernel rodata` of /proc/iomem, or the permissions of the mappings themselves. */
  readonly from: 'symbols' | 'memory-map' | 'page-tables';
}

/** What else is known of the kernel. */
export interface ImageEvidence {
  readonly symbols?: ReadonlyMap<string, VirtualAddress>;
  /** Lines of /proc/iomem. */
  readonly iomem?: readonly string[];
}

/** Text, rodata and the data behind them begin on 2 MiB (Linux, vmlinux.lds.S with CONFIG_STRICT_KERNEL_RWX). */
const HUGE = 512;
/** Freed init memory leaves a hole in an image's mapping; one that is larger, 32 MiB, is its end. */
const LARGEST_HOLE = 8192;

/**
 * Finds the image of the kernel whose text `root` has proved. Symbols go before the memory map, and that before what the
 * permissions let one infer: an attacker may have changed those.
 */
export function imageSections(root: ProvenRoot, evidence: ImageEvidence = {}): ImageSections {
  const distance = root.text.virtualFrame - root.text.frame;
  return (
    fromSymbols(distance, evidence.symbols ?? new Map()) ??
    fromIomem(distance, evidence.iomem ?? []) ??
    fromMappings(root, distance)
  );
}

function fromSymbols(
  distance: number,
  symbols: ReadonlyMap<string, VirtualAddress>,
): ImageSections | undefined {
  const first = (name: string) => frameOfSymbol(symbols.get(name), Math.floor);
  const behind = (name: string) => frameOfSymbol(symbols.get(name), Math.ceil);
  const text = rangeOf(first('_stext') ?? first('_text'), behind('_etext'));
  if (text === undefined) return undefined;
  const rodata = rangeOf(first('__start_rodata'), behind('__end_rodata'));
  const end = behind('_end') ?? behind('__bss_stop') ?? rodata?.end ?? text.end;
  return {
    image: { start: text.start, end: end as VirtualFrame },
    text,
    rodata,
    distance,
    from: 'symbols',
  };
}

function fromIomem(distance: number, lines: readonly string[]): ImageSections | undefined {
  const resource = (name: string): VirtualRange | undefined => {
    for (const line of lines) {
      const match = /^\s*([0-9a-f]{1,13})-([0-9a-f]{1,13}) : (.+?)\s*$/i.exec(line);
      if (match?.[3] !== name) continue;
      const start = Math.floor(Number(`0x${match[1]}`) / PAGE_SIZE) + distance;
      const end = Math.floor(Number(`0x${match[2]}`) / PAGE_SIZE) + 1 + distance;
      return rangeOf(start, end);
    }
    return undefined;
  };
  const text = resource('Kernel code');
  if (text === undefined) return undefined;
  const rodata = resource('Kernel rodata');
  const { end } = resource('Kernel bss') ?? resource('Kernel data') ?? rodata ?? text;
  return { image: { start: text.start, end }, text, rodata, distance, from: 'memory-map' };
}

function fromMappings(root: ProvenRoot, distance: number): ImageSections {
  const start = root.text.virtualFrame;
  let imageEnd: number = start;
  let textEnd: number = start;
  let rodataStart: number | undefined;
  let rodataEnd = 0;
  let hasReadOnly = false;
  walkMappings(root, start, (KERNEL_MAP + GIB_FRAMES) as VirtualFrame, (leaf) => {
    const isOfImage = leaf.virtualFrame - leaf.guestFrame === distance;
    if (!isOfImage || leaf.virtualFrame > imageEnd + LARGEST_HOLE) return;
    const end = leaf.virtualFrame + leaf.frames;
    imageEnd = end;
    const executes = (leaf.effective & PageRights.EXECUTE_DISABLE) === 0;
    const writes = (leaf.effective & PageRights.WRITE) !== 0;
    // A page of it may lead elsewhere, and not be of the image.
    if (executes && leaf.virtualFrame <= textEnd + HUGE) textEnd = end;
    if (executes) return;
    // The first 2 MiB behind the text; what lies between was freed. Where somebody made their head writable, constants begin all the same.
    const isFirst = leaf.virtualFrame % HUGE === 0 && (!writes || leaf.virtualFrame < textEnd + HUGE);
    if (rodataStart === undefined && isFirst) {
      rodataStart = leaf.virtualFrame;
      rodataEnd = rodataStart;
    }
    if (leaf.virtualFrame !== rodataEnd || (writes && hasReadOnly)) return;
    rodataEnd = end;
    hasReadOnly ||= !writes;
  });
  return {
    image: { start, end: imageEnd as VirtualFrame },
    text: { start, end: textEnd as VirtualFrame },
    rodata: hasReadOnly ? rangeOf(rodataStart, rodataEnd) : undefined,
    distance,
    from: 'page-tables',
  };
}

function frameOfSymbol(
  address: VirtualAddress | undefined,
  round: (frames: number) => number,
): number | undefined {
  if (address === undefined) return undefined;
  return Number(address >> 12n) + round(Number(address % 4096n) / PAGE_SIZE);
}

function rangeOf(start: number | undefined, end: number | undefined): VirtualRange | undefined {
  if (start === undefined || end === undefined || end <= start) return undefined;
  return { start: start as VirtualFrame, end: end as VirtualFrame };
}
