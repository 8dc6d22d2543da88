import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openBrowser, openUrl, violations } from './browser.ts';
import { fileOffset, limeOf, writeRaw } from './core-as-dumps.ts';
import { heki, type RunningInspector, startInspector } from './inspector.ts';
import { layoutShift, OVERLAPS, picture } from './measures.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const KERNEL = join(ROOT, 'fixtures/k61-256-kaslr.elf.gz');
const TAMPERED = join(ROOT, 'fixtures/k61-256-tampered-text-alias.elf.gz');
const PTI = join(ROOT, 'fixtures/k61-256-nokaslr-pti.elf.gz');

let folder: string;
let browser: Browser;
let inspector: RunningInspector;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heki-inspector-'));
  [browser, inspector] = await Promise.all([openBrowser(), startInspector(KERNEL)]);
  // It stays: the server ends when its last page is gone, and a test may be slow to open the next.
  await openUrl(browser, `${inspector.url}#tours`);
});
afterAll(async () => {
  await browser?.close();
  inspector?.interrupt();
  rmSync(folder, { recursive: true, force: true });
});

const outcome = async (page: Page) => (await page.locator('#outcome').textContent()) ?? '';

/** What `heki translate` says of the same walk: its last lines but warnings, and its entries. */
function translated(dump: string, address: string, ...options: string[]) {
  const { stdout, stderr } = heki('translate', dump, address, '--json', ...options);
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout);
}

/** The values of the entries as the page has them. */
const entries = (page: Page) =>
  page
    .locator('.step input.value')
    .evaluateAll((inputs) => inputs.map((input) => BigInt((input as HTMLInputElement).value).toString(16)));

describe('the inspector', () => {
  test('shows the audit of what is served, and asks nobody but its server for anything', async () => {
    const { page, said, requests } = await openUrl(browser, inspector.url);
    await page.locator('canvas.map').waitFor();
    expect(await page.locator('h1').textContent()).toBe('Passes: no finding at high or above');
    expect(await page.locator('.opener').textContent()).toContain('k61-256-kaslr.elf.gz');
    expect(requests.filter((url) => !url.startsWith(inspector.url))).toEqual([]);
    expect(await layoutShift(page)).toBeLessThan(0.001);
    expect(said).toEqual([]);
    await page.close();
  });

  test('walks as heki translate does: kernel and user addresses, each access, faults and what cannot be walked', async () => {
    const { page } = await openUrl(browser, inspector.url);
    for (const [address, access, user] of [
      ['0xffffffff81000000', 'fetch', false],
      ['0xfffffe0000000000', 'write', false],
      ['0x401000', 'read', true],
      ['0x8000000000000000', 'read', false],
    ] as const) {
      const asked = translated(KERNEL, address, '--access', access, ...(user ? ['--user'] : []));
      await page.goto(`${inspector.url}#walk?va=${address}&access=${access}${user ? '&user=' : ''}`);
      await page.locator(`.address >> text=${BigInt(address).toString(16).padStart(16, '0')}`).waitFor();
      const said = await outcome(page);
      const { kind } = asked.outcome;
      expect(said.startsWith({ mapped: 'allowed', 'page-fault': '#PF' }[kind as string] ?? '#GP'), said).toBe(
        true,
      );
      if (kind === 'mapped') expect(said).toContain(asked.outcome.gpa);
      if (kind === 'page-fault') expect(said).toContain(`#PF ${asked.outcome.errorCode} `);
      expect(await entries(page)).toEqual(
        asked.steps.map(({ entry }: { entry: string }) => BigInt(entry).toString(16)),
      );
    }
    await page.close();
  });

  test('answers an edited bit as heki translate answers a dump that has it', async () => {
    // The memory of one of the kernel's variables: written, and not executed.
    const { page } = await openUrl(browser, `${inspector.url}#walk?va=init_uts_ns&access=write`);
    const leaf = page.locator('.step').last();
    await leaf.waitFor();
    expect(await outcome(page)).toContain('allowed');
    const at = Number(/at (0x[0-9a-f]+)/.exec((await leaf.locator('.entry').textContent()) ?? '')?.[1]);
    const va = ((await page.locator('.address code').textContent()) ?? '').trim();
    await leaf.getByRole('button', { name: /^RW/ }).click();
    await expect.poll(() => outcome(page)).toContain('#PF 0x3 (P W)');
    await leaf.getByRole('button', { name: /^XD/ }).click();
    await page.getByLabel('Execute').click();
    await expect.poll(() => outcome(page)).toContain('allowed');

    const dump = gunzipSync(readFileSync(KERNEL));
    const offset = fileOffset(dump, at);
    dump.writeUInt32LE(dump.readUInt32LE(offset) - 2, offset);
    dump.writeUInt32LE(dump.readUInt32LE(offset + 4) - 0x8000_0000, offset + 4);
    const edited = join(folder, 'edited.elf');
    writeFileSync(edited, dump);
    expect(translated(edited, va, '--access', 'write').outcome.errorCode).toBe('0x3');
    const { outcome: fetched, steps } = translated(edited, va, '--access', 'fetch');
    expect(await outcome(page)).toContain(`allowed: guest-physical ${fetched.gpa}`);
    expect(await entries(page)).toEqual(
      steps.map(({ entry }: { entry: string }) => BigInt(entry).toString(16)),
    );
    // The address of the page has the edits: it opens as it is now, and takes them back.
    const again = await openUrl(browser, page.url());
    await again.page.locator('#outcome.allowed').waitFor();
    expect(await outcome(again.page)).toBe(await outcome(page));
    await again.page.getByRole('button', { name: 'Undo all edits' }).click();
    await again.page.locator('#outcome.refused').waitFor();
    await again.page.close();
    await page.close();
  });

  test('opens what is chosen, in every format, and says what the command says of what is none', async () => {
    const { page, said } = await openUrl(browser, inspector.url);
    await page.locator('canvas.map').waitFor();
    const choose = page.locator('input[type=file]');
    const elf = gunzipSync(readFileSync(PTI));
    const plain = join(folder, 'plain.elf');
    writeFileSync(plain, elf);
    const lime = join(folder, 'memory.lime');
    const kernel = gunzipSync(readFileSync(KERNEL));
    writeFileSync(lime, limeOf(kernel));
    const raw = join(folder, 'memory.raw');
    writeRaw(raw, kernel);
    const formats = ['kdump-makedumpfile.gz', 'kdump-qemu-flattened.gz', 'proc-vmcore-small.elf.gz'].map(
      (name) => join(ROOT, 'fixtures/formats', name),
    );
    for (const dump of [PTI, plain, lime, raw, ...formats]) {
      await choose.setInputFiles(dump);
      const name = dump.split('/').at(-1) ?? '';
      await page.locator(`.opener >> text=${name}`).waitFor();
      await page.locator('canvas.map, h1.fails').first().waitFor();
      expect(await page.locator('h1').textContent(), name).toMatch(/^(?:Passes|Fails): /);
    }
    const bad = [
      ['text.elf', Buffer.from('no dump')],
      ['cut.elf', elf.subarray(0, 1000)],
      ['broken.elf.gz', gzipSync(elf).subarray(0, 5000)],
      ['empty.elf', Buffer.alloc(0)],
    ] as const;
    for (const [name, bytes] of bad) {
      const file = join(folder, name);
      writeFileSync(file, bytes);
      await choose.setInputFiles(file);
      await page.getByRole('alert').filter({ hasText: name }).waitFor();
      if (name.endsWith('.gz')) continue;
      const { stderr } = heki('translate', file, '0xffffffff81000000');
      expect(await page.getByRole('alert').textContent()).toBe(
        stderr
          .replace(/^heki: /, '')
          .replaceAll(`${folder}/`, '')
          .split('\n')[0],
      );
    }
    expect(said).toEqual([]);
    await page.close();
  });

  test("has the machine of the dump that is open, and not of one before, whatever their files' names", async () => {
    const { page } = await openUrl(browser, `${inspector.url}#time?machine=hardened&kernel=dump&at=0`);
    const root = page.locator('dl.facts div').filter({ hasText: 'CR3' }).locator('code');
    const before = await root.textContent();
    mkdirSync(join(folder, 'other'));
    const other = join(folder, 'other', basename(KERNEL));
    copyFileSync(PTI, other);
    await page.locator('input[type=file]').setInputFiles(other);
    const [first] = translated(PTI, '0xffffffff81000000').steps;
    const cr3 = `0x${(BigInt(first.address) & ~0xfffn).toString(16)}`;
    await expect.poll(() => root.textContent()).toBe(cr3);
    expect(cr3).not.toBe(before);
    await page.locator('input[type=file]').setInputFiles({
      name: 'none.elf',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from('no dump'),
    });
    await page.getByRole('alert').filter({ hasText: 'and none is open' }).waitFor();
    await page.close();
  });

  test('has the bytes of a page, as instructions where it is executed', async () => {
    const { page, said } = await openUrl(browser, inspector.url);
    await page.locator('canvas.map').focus();
    await page.locator('.page-card summary').click();
    await page.locator('.page-card p').filter({ hasText: 'does not hold this page' }).waitFor();
    expect(said).toEqual([]);
    await page.close();
  });

  test('lists what is mapped by virtual address, from the first leaf to the last by keyboard, and walks it', async () => {
    const { page, said } = await openUrl(browser, inspector.url);
    await page.locator('.virtual-side summary').click();
    const focused = page.locator('.virtual-rows tr:focus-within');
    const rows = page.locator('.virtual-rows tbody tr[data-index]');
    await rows.first().locator('a').focus();
    const total = Number(await page.locator('.virtual-rows table').getAttribute('aria-rowcount'));
    await page.keyboard.press('End');
    await page.locator(`.virtual-rows tr:focus-within[aria-rowindex="${total}"]`).waitFor();
    // Of hundreds those are drawn that are seen.
    expect(total).toBeGreaterThan(200);
    expect(await rows.count()).toBeLessThan(60);
    await page.getByLabel('Address or symbol').fill('_text');
    await page.keyboard.press('Enter');
    await focused.filter({ hasText: 'kernel text' }).waitFor();
    const [address = '', end] = ((await focused.locator('a').textContent()) ?? '').split('-');
    await page.keyboard.press('ArrowDown');
    await page
      .locator(`.virtual-rows tr:focus-within >> text=0x${(BigInt(end ?? 0) + 1n).toString(16)}`)
      .waitFor();
    await page.keyboard.press('ArrowUp');
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await page.locator('#outcome').waitFor();
    expect(await outcome(page)).toContain(translated(KERNEL, address).outcome.gpa);
    expect(said).toEqual([]);
    await page.close();
  });

  test('leads from a finding, which its address may name, to the walks of where it is mapped', async () => {
    const { page, said } = await openUrl(browser, `${inspector.url}#tours`);
    await page.locator('input[type=file]').setInputFiles(TAMPERED);
    await page.locator('.opener >> text=tampered').waitFor();
    await page.goto(`${inspector.url}#memory?finding=heki/wx-alias`);
    const places = page.locator('.findings .details a');
    await places.first().waitFor();
    expect(await places.count()).toBe(2);
    await places.last().click();
    await page.locator('#outcome.allowed').waitFor();
    expect(page.url()).toContain('#walk?va=0xffffffff81000000');
    expect(said).toEqual([]);
    await page.close();
  });

  test.each([
    ['', 'canvas.map'],
    ['#walk?va=0xffffffff81000000&access=write', '.step'],
    ['#time?machine=hardened&at=209', '[aria-busy=false] #changed'],
    ['#attacks?attack=store-text-after-pte-edit', '.meets ol'],
    ['#tours', '.tours a'],
  ])(
    'has on the page "%s" no violation that axe-core knows, light or dark, moves nothing, and fits from 320 pixels to 4K',
    async (place, ready) => {
      const { page, said } = await openUrl(browser, inspector.url + place);
      await page.locator(ready).last().waitFor();
      expect(await layoutShift(page)).toBeLessThan(0.001);
      expect(await violations(page)).toEqual([]);
      await page.emulateMedia({ colorScheme: 'dark' });
      expect(await violations(page, ['color-contrast'])).toEqual([]);
      for (const [width, height] of [
        [320, 640],
        [768, 1024],
        [3840, 2160],
      ] as const) {
        await page.setViewportSize({ width, height });
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
        expect(await page.evaluate(OVERLAPS), `${width} pixels`).toEqual([]);
      }
      await page.setViewportSize({ width: 320, height: 640 });
      expect(await violations(page)).toEqual([]);
      expect(said).toEqual([]);
      await page.close();
    },
  );

  test('goes through a boot forth and back, and is at each event what a fresh page is there', async () => {
    const { page, said } = await openUrl(browser, `${inspector.url}#time?machine=hardened&at=150`);
    const state = async (one: Page) => {
      await one.locator('[aria-busy=false] #changed').waitFor();
      return [
        await one.locator('.now').textContent(),
        await one.locator('#changed').textContent(),
        await picture(one),
      ];
    };
    const first = await state(page);
    expect(first[0]).toMatch(/^Event 150 of /);
    expect(await layoutShift(page)).toBeLessThan(0.001);
    const colours = page.getByLabel('What the map is coloured by');
    await colours.selectOption('changed');
    await expect.poll(() => picture(page)).not.toBe(first[2]);
    expect(await page.locator('.legend').textContent()).toContain('its rights have changed');
    await colours.selectOption('rights');
    await expect.poll(() => picture(page)).toBe(first[2]);
    await page.getByRole('button', { name: 'Step', exact: true }).click();
    await page.locator('.now >> text=Event 151').waitFor();
    const second = await state(page);
    await page.getByRole('button', { name: 'Step back' }).click();
    await page.locator('.now >> text=Event 150').waitFor();
    expect(await state(page)).toEqual(first);
    const fresh = await openUrl(browser, `${inspector.url}#time?machine=hardened&at=151`);
    expect(await state(fresh.page)).toEqual(second);
    await fresh.page.getByRole('button', { name: 'Last' }).click();
    await fresh.page.locator('.now >> text=/Event (\\d+) of \\1/').waitFor();
    expect(await state(fresh.page)).not.toEqual(second);
    expect(await violations(fresh.page)).toEqual([]);
    expect(said).toEqual([]);
    await fresh.page.close();
    await page.close();
  });

  test('has a page at a moment of a life, of a kernel of a dump as well, and walks to it through both stages', async () => {
    const place = '#time?machine=hyperv&kernel=dump&at=20';
    const { page, said } = await openUrl(browser, inspector.url + place);
    const map = page.locator('canvas.map');
    await map.focus();
    // Text and constants, which are read alike, are two owners.
    const byRights = await picture(page);
    const colours = page.getByLabel('What the map is coloured by');
    await colours.selectOption('owner');
    expect(await page.locator('.legend').textContent()).toContain('the direct map alone');
    await expect.poll(() => picture(page)).not.toBe(byRights);
    await colours.selectOption({ index: 0 });
    await expect.poll(() => picture(page)).toBe(byRights);
    await map.focus();
    for (let zoom = 0; zoom < 5; zoom++) await page.keyboard.press('+');
    await page.locator('.on-machine >> text=/counters/').waitFor();
    expect(await page.locator('.on-machine .second-level').textContent()).toContain('EPT PML4E');
    expect(await violations(page)).toEqual([]);
    await page.locator('.page-card .links a').first().click();
    await page.locator('.stage-beside >> text=The page itself is reached through EPT').waitFor();
    await page.getByLabel('Write').click();
    await page.locator('#outcome.allowed').waitFor();
    // Without W in the last entry of the second level it is refused there, and nowhere else.
    const stage = page.locator('.stage-beside').first().locator('li').last();
    await stage.locator('summary').click();
    await stage.getByRole('button', { name: /^W / }).click();
    await page.locator('#outcome.refused >> text=because W is 0').waitFor();
    expect(page.url()).toContain('edit=h0x');
    expect(await violations(page)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });

  test('lives a scenario that is written there, and shares it by its address', async () => {
    const wrong = encodeURIComponent('{ "machine": {}, "steps": [{ "do": "nothing" }] }');
    const { page, said } = await openUrl(browser, `${inspector.url}#time?scenario=${wrong}`);
    await page.getByRole('alert').filter({ hasText: 'scenario.json:1:' }).waitFor();
    const editor = page.getByRole('textbox', { name: 'As heki boot --scenario takes it' });
    const step = '{ "do": "load-module", "name": "driver", "text": 4 }';
    await editor.fill(`{ "machine": { "memory": "64MiB" }, "steps": [${step}] }`);
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.locator('text=1 of 1 steps were taken').waitFor();
    expect(new URL(page.url()).hash).toContain('load-module');
    expect(said).toEqual([]);
    await page.close();
  });

  test('says what can stand in a scenario, as its schema has it, and is left by Tab', async () => {
    const { page, said } = await openUrl(browser, `${inspector.url}#time?at=1`);
    await page.locator('.now').waitFor();
    await page.locator('.scenario summary').click();
    const editor = page.getByRole('textbox', { name: 'As heki boot --scenario takes it' });
    const offered = page.locator('.cm-tooltip-autocomplete li');
    await editor.fill('{ "steps": [{  }] }');
    for (let back = 0; back < 5; back++) await page.keyboard.press('ArrowLeft');
    await page.keyboard.type('"do');
    // What is offered cannot be taken for the first 75 ms: CodeMirror guards against a key that was meant for the text.
    const take = async (): Promise<void> => {
      await page.waitForTimeout(200);
      await page.keyboard.press('Enter');
    };
    await offered.filter({ hasText: '"do"' }).waitFor();
    await take();
    await page.keyboard.press('Control+Space');
    await offered.first().waitFor();
    expect(await violations(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations(page, ['color-contrast'])).toEqual([]);
    await page.keyboard.type('"load-m');
    await offered.first().filter({ hasText: '"load-module"' }).waitFor();
    await take();
    expect(await editor.textContent()).toBe('{ "steps": [{ "do": "load-module" }] }');
    await page.keyboard.press('Tab');
    await page.locator('.scenario button:focus').waitFor();
    expect(said).toEqual([]);
    await page.close();
  });

  test('has an attack on two machines, side by side to the instruction where they part', async () => {
    const { page, said } = await openUrl(
      browser,
      `${inspector.url}#attacks?attack=store-text-after-pte-edit&left=no-heki&right=hardened`,
    );
    await page.locator('#parting').waitFor();
    expect(await page.locator('#parting').textContent()).toBe('They part at step 9.');
    const parting = page.locator('.story .parting');
    expect(await parting.count()).toBe(2);
    expect(await parting.last().textContent()).toContain('EPT forbids it: violation 0x5ea');
    // To the instruction: what its store meets on either side, and from there back and forth on both at once.
    expect(await page.locator('#position').textContent()).toBe(
      'Step 9 of 9, instruction 1 of 1: here they part',
    );
    const meets = page.locator('.meets strong');
    await expect
      .poll(() => meets.allTextContents())
      .toEqual([
        expect.stringMatching(/^allowed: guest-physical 0x1001040/),
        expect.stringMatching(/^refused by the second level at guest-physical 0x1001040/),
      ]);
    await page.getByRole('button', { name: 'Instruction back' }).click();
    await page.locator('#position >> text=Step 8 of 9').waitFor();
    expect(await page.locator('.instruction').allTextContents()).toEqual([
      expect.stringContaining('invlpg'),
      expect.stringContaining('invlpg'),
    ]);
    await page.getByRole('button', { name: 'Where they part' }).click();
    await page.locator('#position >> text=here they part').waitFor();
    expect(page.url()).toContain('step=9&instruction=1');
    await page.locator('.side-by-side section').last().getByText('The walk', { exact: true }).click();
    await page.locator('#outcome.refused >> text=because W is 0').waitFor();
    await page.goBack();
    await page.locator('#position >> text=here they part').waitFor();
    expect(await page.locator('.verdict').allTextContents()).toEqual([
      expect.stringMatching(/^succeeds: /),
      expect.stringMatching(/^blocked: /),
    ]);
    await page.getByLabel('Attack').selectOption('store-data');
    await page.locator('#parting >> text=They do not part').waitFor();
    expect(page.url()).toContain('attack=store-data');
    expect(await violations(page)).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });

  test('begins with the story that it was started with, and says to a script where it is', async () => {
    const file = join(folder, 'found.json');
    writeFileSync(file, heki('explore', '--machine', 'abstract-ask', '--depth', '4', '--json').stdout);
    const { url, interrupt, ended } = await startInspector('--story', file, '--json');
    const { page, said } = await openUrl(browser, url);
    await page.locator('.story .parting').first().waitFor();
    expect(await page.locator('h1').textContent()).toBe('What a search found');
    expect(page.url()).toContain('#attacks?report=');
    expect(said).toEqual([]);
    await page.close();
    interrupt();
    expect(await ended).toBe(0);
  });

  test('has six tours, and at each step what it speaks of, over the kernel that comes with heki', async () => {
    const { page, said } = await openUrl(browser, `${inspector.url}#tours`);
    const tours = await page
      .locator('.tours a')
      .evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    expect(tours).toHaveLength(6);
    expect(await violations(page)).toEqual([]);
    for (const first of tours) {
      await page.evaluate(`location.hash = ${JSON.stringify(first)}`);
      for (let number = 1; ; number++) {
        await page.locator(`.tour >> text=step ${number} of `).waitFor();
        const shows = (await page.locator('.tour q').textContent()) ?? '';
        await page.locator('main').filter({ hasText: shows }).waitFor();
        expect(await page.getByRole('alert').count(), shows).toBe(0);
        const onward = page.locator('.tour .onward');
        if ((await onward.count()) === 0) {
          expect(number).toBeGreaterThanOrEqual(12);
          break;
        }
        await onward.click();
      }
    }
    expect(said).toEqual([]);
    await page.close();
  });

  test('takes less than 250 kB, packed, until it can be used', () => {
    const built = join(ROOT, 'packages/heki/inspector');
    const first = ['index.html', 'app.css', 'app.js', 'worker.js'];
    const bytes = first.reduce((sum, name) => sum + gzipSync(readFileSync(join(built, name))).length, 0);
    expect(bytes).toBeLessThan(250_000);
  });

  test('ends when its page is closed, and by Ctrl-C', async () => {
    const [closed, interrupted] = await Promise.all([startInspector(), startInspector()]);
    const { page } = await openUrl(browser, closed.url);
    await page.locator('canvas.map').waitFor();
    // Loaded anew it is closed for a moment.
    await page.reload();
    await page.locator('canvas.map').waitFor();
    expect((await fetch(closed.url)).status).toBe(200);
    await page.close();
    expect(await closed.ended).toBe(0);
    interrupted.interrupt();
    expect(await interrupted.ended).toBe(0);
  });
});
