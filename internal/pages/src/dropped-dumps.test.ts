import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { buildFlattened, buildKdump, type KdumpPage } from '@heki/vmcore/testing/build-kdump';
import { PACKING_FLAGS, type Packing, packedPages } from '@heki/vmcore/testing/packed-pages';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openBrowser, openUrl } from './browser.ts';
import { segmentsOf } from './core-as-dumps.ts';
import { type RunningInspector, startInspector } from './inspector.ts';

const PAGE = 4096;
const packed = readFileSync(
  fileURLToPath(new URL('../../../fixtures/stage61-rest_init.elf.gz', import.meta.url)),
);
const elf = gunzipSync(packed);

/** The notes of the core, and its pages: a program header each. */
const { notes, frames } = (() => {
  const field = (at: number): number => Number(elf.readBigUInt64LE(at));
  const headers = Array.from({ length: elf.readUInt16LE(56) }, (_, index) => field(32) + 56 * index);
  const [noted] = headers.filter((at) => elf.readUInt32LE(at) === 4);
  if (noted === undefined) throw new Error('the core has no notes');
  return {
    notes: elf.subarray(field(noted + 8), field(noted + 8) + field(noted + 32)),
    frames: segmentsOf(elf).flatMap(({ offset, start, length }) =>
      Array.from({ length: length / PAGE }, (_, page) => ({
        frame: start / PAGE + page,
        bytes: elf.subarray(offset + PAGE * page, offset + PAGE * (page + 1)),
      })),
    ),
  };
})();

const { packed: pagesBy } = packedPages();
function pagesPackedBy(packing: Packing): KdumpPage[] {
  return frames.map(({ frame, bytes }, index) => {
    const small = pagesBy[packing][index] ?? bytes;
    return small.length < PAGE ? { frame, bytes: small, flags: PACKING_FLAGS[packing] } : { frame, bytes };
  });
}
const kdump = (pages: readonly KdumpPage[], part?: { readonly start: number; readonly end: number }) =>
  buildKdump({ pages, notes, frames: 65_536, ...(part && { part }) });

const MIDDLE = frames[Math.floor(frames.length / 2)]?.frame ?? 0;
const zlib = pagesPackedBy('zlib');
const whole = kdump(zlib);

/** Each format, as the files that are dropped together. */
const FORMATS: readonly (readonly [name: string, ...files: Uint8Array[]])[] = [
  ['an ELF core', elf],
  ['a kdump whose pages are not packed', kdump(frames)],
  ['a kdump by zlib', whole],
  ['a kdump by lzo', kdump(pagesPackedBy('lzo'))],
  ['a kdump by snappy', kdump(pagesPackedBy('snappy'))],
  ['a kdump by zstd', kdump(pagesPackedBy('zstd'))],
  ['a kdump, packed by gzip as a whole', gzipSync(whole)],
  ['a flattened kdump', buildFlattened([{ offset: 0, bytes: whole }])],
  [
    'the two parts of a split kdump',
    kdump(zlib, { start: 0, end: MIDDLE }),
    kdump(zlib, { start: MIDDLE, end: 65_536 }),
  ],
  [
    'the parts of a split kdump, the last first',
    kdump(zlib, { start: MIDDLE, end: 65_536 }),
    kdump(zlib, { start: 0, end: MIDDLE }),
  ],
];

let browser: Browser;
let inspector: RunningInspector;
beforeAll(async () => {
  [browser, inspector] = await Promise.all([openBrowser(), startInspector()]);
});
afterAll(async () => {
  await browser?.close();
  inspector?.interrupt();
});

/** Drops files onto the page, as a person does from a folder. */
async function drop(page: Page, files: readonly { readonly name: string; readonly bytes: Uint8Array }[]) {
  const carried = files.map(({ name, bytes }) => ({ name, text: Buffer.from(bytes).toString('base64') }));
  // By the debugger, which the page's Content-Security-Policy does not concern.
  await page.evaluate(`(() => {
    const dataTransfer = new DataTransfer();
    for (const { name, text } of ${JSON.stringify(carried)})
      dataTransfer.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
    for (const type of ['dragover', 'drop'])
      document.querySelector('main').dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  })()`);
}

/** What the page says of the dump that is open. */
async function told(page: Page, name: string) {
  await page.locator(`.opener >> text=${name}`).waitFor();
  await page.locator('canvas.map').waitFor();
  return {
    verdict: await page.locator('h1').textContent(),
    findings: await page.locator('h3').allTextContents(),
    colours: await page.locator('.legend li').allTextContents(),
  };
}

describe('a dump that is dropped onto the inspector', () => {
  test('opens in each format, and is the same kernel in all', async () => {
    const { page, said } = await openUrl(browser, inspector.url);
    await page.locator('canvas.map').waitFor();
    await drop(page, [{ name: 'reference.elf.gz', bytes: packed }]);
    const expected = await told(page, 'reference.elf.gz');
    expect(expected.verdict).toMatch(/^(?:Passes|Fails): /);
    for (const [index, [format, ...files]] of FORMATS.entries()) {
      const named = files.map((bytes, part) => ({ name: `dump-${index}-${part}`, bytes }));
      await drop(page, named);
      expect(await told(page, `dump-${index}-0`), format).toEqual(expected);
    }
    expect(said).toEqual([]);
    await page.close();
  });
});
