import { readFileSync } from 'node:fs';
import { createRam, frameOf, type Gfn, type Gpa, gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { decodeLvbsRanges } from './lvbs.ts';

/** One of `fixtures/lvbs/requests.json`. Addresses are hexadecimal. */
interface Request {
  readonly name: string;
  readonly first: string;
  readonly total: number;
  readonly pages: Readonly<Record<string, string>>;
  readonly verdict: 'accepted' | 'refused';
  readonly ranges?: readonly Readonly<Record<'va' | 'pa' | 'epa', string> & { attributes: number }>[];
}

const FILE = new URL('../../../../fixtures/lvbs/requests.json', import.meta.url);
const REQUESTS: readonly Request[] = JSON.parse(readFileSync(FILE, 'utf8'));
const FRAMES = 4096;

test.each(REQUESTS)('$name: $verdict', ({ first, total, pages, verdict, ranges }) => {
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(FRAMES) }] });
  for (const [address, hex] of Object.entries(pages)) {
    const words = memory.writablePage(frameOf(Number(address) as Gpa)) ?? new Uint32Array();
    new Uint8Array(words.buffer, words.byteOffset).set(Buffer.from(hex, 'hex'));
  }
  const decoded = decodeLvbsRanges({ memory, first: BigInt(first), total: BigInt(total) });
  expect(decoded.ok ? 'accepted' : 'refused').toBe(verdict);
  if (!decoded.ok) return;
  const written = decoded.message.map(({ va, pa, epa, attributes }) => ({
    va: `0x${va.toString(16)}`,
    pa: `0x${pa.toString(16)}`,
    epa: `0x${epa.toString(16)}`,
    attributes,
  }));
  expect(written).toEqual(ranges);
});
