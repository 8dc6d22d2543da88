import { hex } from '@heki/physical-memory';
import { CRASH_KERNEL, type Extract, namesMemory } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import { type ExtractSidecar, knownOf } from './extract-sidecar.ts';

/** Symbols that attacks are aimed by; the others tell which kernel it is. */
const KEPT_SYMBOLS = ['_stext', '_text', '_sdata', 'init_uts_ns'];

/** A sidecar without the kernel's version, its command line and the names of devices, its addresses as they are in the extract. */
export function redactSidecar(
  { page_offset_base, cr4, efer, hypercall_page, iomem, symbols = {} }: ExtractSidecar,
  { change }: NonNullable<Extract['redaction']>,
): ExtractSidecar {
  const moved = (address: string): string => hex(change.virtual(BigInt(address)));
  const kept = Object.entries(symbols).filter(([name]) => KEPT_SYMBOLS.includes(name));
  return knownOf({
    kernel: undefined,
    cmdline: undefined,
    page_offset_base: page_offset_base === undefined ? undefined : moved(page_offset_base),
    // Nothing may be mapped where a region begins: then no move tells where that is now.
    vmalloc_base: undefined,
    vmemmap_base: undefined,
    cr4,
    efer,
    hypercall_page: hypercall_page === undefined ? undefined : hex(change.physical(BigInt(hypercall_page))),
    iomem: iomem === undefined ? undefined : redactIomem(iomem, change.physical),
    symbols:
      kept.length === 0
        ? undefined
        : Object.fromEntries(kept.map(([name, address]) => [name, moved(address)])),
  });
}

/**
 * Lines of /proc/iomem: memory by its names, and what memory stands in as `device`. The parts of the kernel's image go, and a
 * crash kernel's memory may have moved with what is around it.
 */
function redactIomem(lines: readonly string[], physical: (address: bigint) => bigint): string[] {
  const kept: string[] = [];
  // From the last line on, so that a line knows what stands in it.
  let needed = 0;
  for (const line of lines.toReversed()) {
    const [, indent = '', first = '', last = '', name = ''] =
      /^( *)([0-9a-f]+)-([0-9a-f]+) : (.+?)\s*$/i.exec(line) ?? [];
    const isMemory = namesMemory(name);
    if (!isMemory && indent.length >= needed) continue;
    needed = indent.length;
    const range = name === CRASH_KERNEL ? movedRange(first, last, physical) : `${first}-${last}`;
    kept.push(`${indent}${range} : ${isMemory ? name : 'device'}`);
  }
  return kept.reverse();
}

function movedRange(first: string, last: string, physical: (address: bigint) => bigint): string {
  const [start, end] = [BigInt(`0x${first}`), BigInt(`0x${last}`)];
  const [to, toEnd] = [physical(start), physical(end)];
  if (toEnd - to !== end - start) {
    throw new InputError(
      `the crash kernel's memory at ${hex(start)} cannot be redacted: it would fall apart`,
    );
  }
  const digits = (address: bigint) => address.toString(16).padStart(first.length, '0');
  return `${digits(to)}-${digits(toEnd)}`;
}
