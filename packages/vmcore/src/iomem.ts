import { readFileSync } from 'node:fs';
import {
  createMemoryMap,
  type Gfn,
  type MemoryMap,
  type MemoryMapEntry,
  type MemoryType,
  PAGE_SIZE,
  PHYSICAL_ADDRESS_END,
} from '@heki/physical-memory';
import { VmcoreError } from './error.ts';

/** What Linux calls the e820 types in /proc/iomem (arch/x86/kernel/e820.c). */
const TYPES: ReadonlyMap<string, MemoryType> = new Map([
  ['System RAM', 'ram'],
  ['Reserved', 'reserved'],
  ['reserved', 'reserved'],
  ['Soft Reserved', 'reserved'],
  ['ACPI Tables', 'acpi'],
  ['ACPI Non-volatile Storage', 'nvs'],
  ['Unusable memory', 'unusable'],
  ['Persistent Memory', 'persistent'],
  ['Persistent Memory (legacy)', 'persistent'],
]);

/**
 * The memory map in the text of Linux's /proc/iomem. RAM counts by whole pages, as Linux counts it; other memory
 * by every page that it touches. Devices are left out, and so is what is nested in an entry.
 *
 * @throws {VmcoreError} with the line that is none of /proc/iomem, or when the addresses are hidden
 */
export function parseIomem(text: string): MemoryMap<Gfn> {
  const entries: MemoryMapEntry<Gfn>[] = [];
  let hidden = true;
  let lastByte = 0;
  let lastEnd = 0;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const match = /^( *)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.+?)\s*$/i.exec(line);
    if (match === null) {
      throw new VmcoreError(
        `line ${index + 1} of the memory map is ${JSON.stringify(line.slice(0, 80))}: expected "START-END : NAME"`,
      );
    }
    const [, indent = '', first = '', last = '', name = ''] = match;
    const start = Number.parseInt(first, 16);
    const end = Number.parseInt(last, 16) + 1;
    if (end <= start) {
      throw new VmcoreError(`line ${index + 1} of the memory map ends before it starts: ${line.trim()}`);
    }
    if (end > 1) hidden = false;
    if (indent !== '') continue;
    if (start < lastByte && !hidden) {
      throw new VmcoreError(
        `line ${index + 1} of the memory map overlaps or precedes the line above: ${line.trim()}`,
      );
    }
    lastByte = end;
    const type = TYPES.get(name);
    if (type === undefined || end > PHYSICAL_ADDRESS_END) continue;
    const inward = type === 'ram';
    const startFrame = Math.max(lastEnd, (inward ? Math.ceil : Math.floor)(start / PAGE_SIZE));
    const endFrame = (inward ? Math.floor : Math.ceil)(end / PAGE_SIZE);
    if (endFrame <= startFrame) continue;
    entries.push({ start: startFrame as Gfn, end: endFrame as Gfn, type });
    lastEnd = endFrame;
  }
  if (hidden) throw new VmcoreError('the memory map has no addresses: /proc/iomem shows them to root alone');
  return createMemoryMap(entries);
}

/**
 * The memory map in a file: the text of /proc/iomem, or JSON whose `iomem` is an array of its lines, as stands
 * beside a snapshot.
 *
 * @throws {VmcoreError} when the file cannot be read or holds no memory map
 */
export function readMemoryMap(path: string): MemoryMap<Gfn> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new VmcoreError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  try {
    return parseIomem(text.trimStart().startsWith('{') ? iomemOfJson(text) : text);
  } catch (cause) {
    throw new VmcoreError(`${path}: ${(cause as Error).message}`, { cause });
  }
}

function iomemOfJson(text: string): string {
  const value: unknown = JSON.parse(text);
  const lines = (value as { readonly iomem?: unknown } | null)?.iomem;
  if (!Array.isArray(lines) || !lines.every((line) => typeof line === 'string')) {
    throw new VmcoreError('`iomem` is missing: expected an array of lines of /proc/iomem');
  }
  return lines.join('\n');
}
