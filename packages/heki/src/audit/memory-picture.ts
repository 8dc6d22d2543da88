import { type Audit, rightsText } from '@heki/audit';
import type { Colours } from '../colours.ts';
import { bytesText } from '../quantity.ts';

/** What stands for pages by what all mappings together allow, the worst last: that of a cell is shown. */
const SIGNS = ['.', 'w', 'r', 'x', '!'] as const;

/** The index in {@link SIGNS} of each OR of `Rights` that the kernel has. */
const SIGN_OF_RIGHTS = Array.from({ length: 8 }, (_, rights) => {
  const sign = { 'r--': 'r', 'r-x': 'x', 'rw-': 'w', rwx: '!' }[rightsText(rights).slice(0, 3)];
  return SIGNS.findIndex((one) => one === (sign ?? '.'));
});

/** Physical memory from left to right and top to bottom, a character for a stretch of it, with a key. */
export function memoryPicture(audit: Audit, ramEnd: number, columns: number, colours: Colours): string[] {
  const width = Math.max(16, Math.min(64, columns - 18));
  const cells = Math.min(ramEnd, width * 8);
  if (cells === 0) return [];
  const frames = Math.ceil(ramEnd / cells);
  const signs = new Uint8Array(cells);
  for (const { start, end, rights } of audit.kernel.extents) {
    const sign = SIGN_OF_RIGHTS[rights % SIGN_OF_RIGHTS.length] ?? 0;
    for (let cell = Math.floor(start / frames); cell < cells && cell * frames < end; cell++) {
      if (sign > (signs[cell] ?? 0)) signs[cell] = sign;
    }
  }
  const lines: string[] = [];
  for (let at = 0; at < cells; at += width) {
    const address = `0x${(at * frames * 4096).toString(16)}`.padStart(12);
    const row = Array.from(signs.subarray(at, at + width), (sign) => coloured(SIGNS[sign] ?? '.', colours));
    lines.push(`${address}  ${row.join('')}`);
  }
  return [
    ...lines,
    '',
    `one character is ${bytesText(frames * 4096)}, the worst of it: ! written and executed  x code  r constants  w data  . not mapped`,
  ];
}

function coloured(sign: string, { red, green, blue, dim, bold }: Colours): string {
  if (sign === '!') return red(bold(sign));
  if (sign === 'x') return green(sign);
  if (sign === 'r') return blue(sign);
  return dim(sign);
}
