import { hex, PAGE_SIZE } from '@heki/physical-memory';
import type { Run } from '../memory/bounded-runs.ts';

/** `12,345`. */
export function number(value: number): string {
  return value.toLocaleString('en-US');
}

/** `1 page`, `512 pages`. */
export function count(value: number, one: string, many: string = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** `4 KiB`, `2 MiB`, `1.5 GiB`. */
export function sizeText(frames: number): string {
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = frames * 4;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `0x1000000-0x11fffff`: the bytes of frames, the last one included. */
export function physicalText({ start, end }: Run): string {
  return `${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}`;
}

/** The same of virtual frames: addresses have 64 bits. */
export function virtualText({ start, end }: Run): string {
  return `${hex(BigInt(start) << 12n)}-${hex((BigInt(end) << 12n) - 1n)}`;
}
