import {
  createMemoryMap,
  type Gfn,
  gfn,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import {
  entryFrame,
  HARDWARE_PRESENCE,
  LINUX_PRESENCE,
  type PresencePolicy,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKernelImage } from '../layout/kernel-image.ts';
import type { SetMemory } from '../linux-kernel.ts';
import { AttributeModel, type ModelChange, type ModelPage } from '../testing/attribute-model.ts';
import { after, bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';

const DONE = { kind: 'done', value: undefined };
const PAGE = 4096;
/** Free RAM above the image, 2-MiB leaves in the direct map. */
const PLAIN = gfn(0x6000);

const splits = ({ events }: RunningKernel): number =>
  events.filter(({ type }) => type === 'leaf-split').length;
const warnings = ({ events }: RunningKernel): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.text] : []));

describe('set_memory_*', () => {
  test('changes a whole large leaf without splitting it', () => {
    const running = bootKernel();
    const before = splits(running);
    const address = running.direct(PLAIN);
    expect(running.kernel.setMemory('ro', address, 512)).toEqual(DONE);
    expect(running.leaf(address)?.level).toBe(2);
    expect(running.rights(address)).toBe('r--');
    expect(splits(running)).toBe(before);
  });

  test('splits a large leaf of which it changes a part, and leaves the rest as it was', () => {
    const running = bootKernel();
    const address = running.direct(PLAIN);
    done(running.kernel.setMemory('ro', after(address, 5 * PAGE), 2));
    expect(running.leaf(address)?.level).toBe(1);
    const rights = [4, 5, 6, 7].map((page) => running.rights(after(address, page * PAGE)));
    expect(rights).toEqual(['rw-', 'r--', 'r--', 'rw-']);
    expect(running.rights(after(address, 512 * PAGE))).toBe('rw-');
    expect(running.leaf(after(address, 512 * PAGE))?.level).toBe(2);
  });

  test('does not split a leaf that is already as it should be', () => {
    const running = bootKernel();
    const before = splits(running);
    done(running.kernel.setMemory('rw', running.direct(PLAIN), 3));
    expect(splits(running)).toBe(before);
  });

  test('takes the direct map along with write permission, and not with NX', () => {
    const running = bootKernel();
    const { kernel } = running;
    const { address } = done(kernel.vmalloc(1));
    const alias = running.direct(running.leaf(address)?.guestFrame ?? gfn(0));
    done(kernel.setMemory('ro', address, 1));
    expect([running.rights(address), running.rights(alias)]).toEqual(['r--', 'r--']);
    done(kernel.setMemory('x', address, 1));
    expect([running.rights(address), running.rights(alias)]).toEqual(['r-x', 'r--']);
    done(kernel.setMemory('nx', address, 1));
    done(kernel.setMemory('rw', address, 1));
    expect([running.rights(address), running.rights(alias)]).toEqual(['rw-', 'rw-']);
    done(kernel.setMemory('rox', address, 1));
    expect([running.rights(address), running.rights(alias)]).toEqual(['r-x', 'r--']);
  });

  test('takes the mapping of the image along when a direct-map address is changed', () => {
    const running = bootKernel();
    const data = running.kernel.address('_sdata');
    const alias = running.direct(running.leaf(data)?.guestFrame ?? gfn(0));
    done(running.kernel.setMemory('ro', after(alias, PAGE), 1));
    expect(running.rights(after(data, PAGE))).toBe('r--');
    expect(running.rights(data)).toBe('rw-');
  });

  test('makes rodata writable neither by its own address nor by the direct map, and says that it did', () => {
    const running = bootKernel();
    const rodata = running.kernel.address('__start_rodata');
    const alias = running.direct(running.leaf(rodata)?.guestFrame ?? gfn(0));
    expect(running.kernel.setMemory('rw', rodata, 1)).toEqual(DONE);
    expect(running.kernel.setMemory('rw', alias, 1)).toEqual(DONE);
    expect([running.rights(rodata), running.rights(alias)]).toEqual(['r--', 'r--']);
  });

  test('does not take execution from text', () => {
    const running = bootKernel();
    expect(running.kernel.setMemory('nx', running.kernel.address('_text'), 1)).toEqual(DONE);
    expect(running.rights(running.kernel.address('_text'))).toBe('r-x');
  });

  test('leaves a page as it is that would become writable and executable, with a warning and success', () => {
    const running = bootKernel();
    const { address } = done(running.kernel.vmalloc(1));
    expect(running.kernel.setMemory('x', address, 1)).toEqual(DONE);
    expect(running.rights(address)).toBe('rw-');
    expect(warnings(running).at(-1)).toMatch(
      /^CPA refuse W\^X violation: 8000000000000163 -> 0000000000000163 range: 0xffffc900/,
    );
  });

  test('does so where the page is not present, too: when it is again, it is not executed', () => {
    const running = bootKernel();
    const { address } = done(running.kernel.vmalloc(1));
    for (const what of ['np_noalias', 'x', 'p'] as const) done(running.kernel.setMemory(what, address, 1));
    expect(running.rights(address)).toBe('rw-');
  });

  test('only warns about it when the kernel is one that only warns', () => {
    const running = bootKernel({ refuseWx: false });
    const { address } = done(running.kernel.vmalloc(1));
    expect(running.kernel.setMemory('x', address, 1)).toEqual(DONE);
    expect(running.rights(address)).toBe('rwx');
    expect(warnings(running).at(-1)).toMatch(/^CPA detected W\^X violation/);
  });

  test('fails where nothing is mapped, after what came before', () => {
    const running = bootKernel();
    const { address } = done(running.kernel.vmalloc(2));
    const outcome = running.kernel.setMemory('ro', address, 4);
    expect(outcome).toMatchObject({ kind: 'error', errno: -14 });
    expect(running.rights(after(address, PAGE))).toBe('r--');
    expect(warnings(running).at(-1)).toContain('CPA: called for zero pte');
  });

  test('fails with -ENOMEM when there is no page for the table of a split', () => {
    const running = bootKernel();
    while (running.kernel.allocatePages().kind === 'done');
    const outcome = running.kernel.setMemory('ro', running.direct(PLAIN), 1);
    expect(outcome).toMatchObject({ kind: 'error', errno: -12 });
    expect(running.rights(running.direct(PLAIN))).toBe('rw-');
  });

  test('drops what the processor has cached', () => {
    const { kernel, vcpu } = bootKernel();
    const { address } = done(kernel.vmalloc(1));
    expect(vcpu.store(address, 8, 1n).kind).toBe('done');
    done(kernel.setMemory('ro', address, 1));
    expect(vcpu.store(address, 8, 2n)).toMatchObject({ kind: 'exception', errorCode: 3 });
    done(kernel.setMemory('rw', address, 1));
    expect(vcpu.store(address, 8, 2n).kind).toBe('done');
  });
});

describe('mappings that are not present', () => {
  /** The entry of `level` over an address, both halves, as it lies in memory. */
  function entryAt({ memory, kernel }: RunningKernel, address: VirtualAddress, level: number): number[] {
    let table = kernel.pageTableRoot;
    for (let at = 4; ; at--) {
      const slot = Number((address >> BigInt(12 + 9 * (at - 1))) & 511n);
      const page = memory.page(table);
      const [low = 0, high = 0] = [page?.[2 * slot], page?.[2 * slot + 1]];
      if (at === level) return [low, high];
      table = entryFrame(low, high);
    }
  }

  /** The leaves over the 2 MiB from an address on. */
  function seenBy(
    { memory, kernel }: RunningKernel,
    address: VirtualAddress,
    presence: PresencePolicy,
  ): Gfn[] {
    const { levels } = kernel.layout;
    const found: Gfn[] = [];
    const start = Number(address >> 12n) as VirtualFrame;
    const tables = { memory, root: kernel.pageTableRoot, levels, presence };
    walkMappings(tables, start, (start + 512) as VirtualFrame, ({ guestFrame }) => found.push(guestFrame));
    return found;
  }

  test('keep their frame, with its bits inverted, and come back', () => {
    const running = bootKernel();
    const { kernel, vcpu } = running;
    const { address } = done(kernel.vmalloc(1));
    const before = running.leaf(address);
    const alias = running.direct(before?.guestFrame ?? gfn(0));
    done(kernel.setMemory('np', address, 1));
    expect([running.rights(address), running.rights(alias)]).toEqual(['---', '---']);
    expect(vcpu.load(address, 8)).toMatchObject({ kind: 'exception', errorCode: 0 });
    const [low = 0, high = 0] = entryAt(running, address, 1);
    expect(entryFrame(low, high)).toBe(2 ** 40 - 1 - (before?.guestFrame ?? 0));
    // Without G, which would read as PROT_NONE.
    expect(low & 0xfff).toBe(0x62);
    done(kernel.setMemory('p', address, 1));
    expect(running.leaf(address)?.guestFrame).toBe(before?.guestFrame);
    expect([running.rights(address), running.rights(alias)]).toEqual(['rw-', 'rw-']);
  });

  test('leave the direct map alone with np_noalias', () => {
    const running = bootKernel();
    const { address } = done(running.kernel.vmalloc(1));
    const alias = running.direct(running.leaf(address)?.guestFrame ?? gfn(0));
    done(running.kernel.setMemory('np_noalias', address, 1));
    expect([running.rights(address), running.rights(alias)]).toEqual(['---', 'rw-']);
  });

  test('lose PSE with P in a large leaf, and keep all bits of the frame inverted, as a PTE does', () => {
    const running = bootKernel();
    const address = running.direct(PLAIN);
    const [before = 0] = entryAt(running, address, 2);
    done(running.kernel.setMemory('np', address, 512));
    expect(running.rights(address)).toBe('---');
    const [low = 0, high = 0] = entryAt(running, address, 2);
    expect(low & 0xfff).toBe(before & 0xfff & ~0x181);
    expect(entryFrame(low, high)).toBe(2 ** 40 - 1 - PLAIN);
    expect(seenBy(running, address, HARDWARE_PRESENCE)).toEqual([]);
    // Neither by pmd_present.
    expect(seenBy(running, address, LINUX_PRESENCE)).toEqual([]);

    done(running.kernel.setMemory('p', address, 512));
    // set_memory_p sets P, and with it PSE; G stays away.
    expect(entryAt(running, address, 2)).toEqual([before - 0x100, 0x8000_0000]);
    expect(running.leaf(address)).toMatchObject({ guestFrame: PLAIN, level: 2 });
  });

  test('of 1 GiB split into such entries', () => {
    const memoryMap = createMemoryMap([
      { start: gfn(1), end: gfn(0x9f), type: 'ram' },
      { start: gfn(0x100), end: gfn(3 * 2 ** 18), type: 'ram' },
    ]);
    const running = bootKernel({ memoryMap });
    const address = running.direct(gfn(2 ** 18));
    expect(running.leaf(address)?.level).toBe(3);
    done(running.kernel.setMemory('np', address, 2 ** 18));
    const [low = 0, high = 0] = entryAt(running, address, 3);
    expect([low & 0x181, entryFrame(low, high)]).toEqual([0, 2 ** 40 - 1 - 2 ** 18]);
    done(running.kernel.setMemory('p', after(address, 512 * PAGE), 512));
    const rights = [0, 1, 2].map((huge) => running.rights(after(address, huge * 512 * PAGE)));
    expect(rights).toEqual(['---', 'rw-', '---']);
    const [first = 0, firstHigh = 0] = entryAt(running, address, 2);
    expect([first & 0x181, entryFrame(first, firstHigh)]).toEqual([0, 2 ** 40 - 1 - 2 ** 18]);
    expect(seenBy(running, address, LINUX_PRESENCE)).toEqual([]);
    expect(running.leaf(after(address, 512 * PAGE))).toMatchObject({ guestFrame: 2 ** 18 + 512, level: 2 });
  });

  test('split like others: a page of a hidden large leaf comes back alone', () => {
    const running = bootKernel();
    const address = running.direct(PLAIN);
    done(running.kernel.setMemory('np', address, 512));
    done(running.kernel.setMemory('p', after(address, 7 * PAGE), 1));
    const rights = [6, 7, 8].map((page) => running.rights(after(address, page * PAGE)));
    expect(rights).toEqual(['---', 'rw-', '---']);
    expect(running.leaf(after(address, 7 * PAGE))?.guestFrame).toBe(PLAIN + 7);
  });

  test('of the direct map come and go with set_direct_map_*, without a flush', () => {
    const running = bootKernel();
    const { kernel, vcpu } = running;
    const address = running.direct(PLAIN);
    done(kernel.setDirectMap('invalid', PLAIN));
    expect(running.rights(address)).toBe('---');
    done(kernel.setDirectMap('default', PLAIN));
    expect(running.rights(address)).toBe('rw-');
    expect(vcpu.load(address, 8).kind).toBe('done');
    done(kernel.setDirectMap('invalid', PLAIN));
    expect(vcpu.load(address, 8).kind).toBe('done');
    expect(vcpu.invlpg(address).kind).toBe('done');
    expect(vcpu.load(address, 8)).toMatchObject({ kind: 'exception', errorCode: 0 });
  });
});

describe('the engine', () => {
  const WHAT: Readonly<Record<SetMemory, readonly [ModelChange, aliases: boolean]>> = {
    ro: [{ writable: false }, true],
    rw: [{ writable: true }, true],
    rox: [{ writable: false, noExecute: false }, true],
    x: [{ noExecute: false }, false],
    nx: [{ noExecute: true }, false],
    np: [{ present: false }, true],
    np_noalias: [{ present: false }, false],
    p: [{ present: true }, true],
  };

  function modelOf({ memory, kernel, leaf }: RunningKernel): AttributeModel {
    const { layout, build } = kernel;
    const image = createKernelImage(build, layout);
    const pages = new Map<number, ModelPage>();
    const tables = { memory, root: kernel.pageTableRoot, levels: layout.levels };
    walkMappings(
      tables,
      upperHalfStart(4),
      (2 ** 52) as VirtualFrame,
      ({ virtualFrame, guestFrame, frames, low, high }) => {
        for (let page = 0; page < frames; page++) {
          pages.set(virtualFrame + page, {
            frame: guestFrame + page,
            present: true,
            writable: (low & 2) !== 0,
            noExecute: high >>> 31 === 1,
          });
        }
      },
    );
    expect(leaf(kernel.address('_text'))).toBeDefined();
    return new AttributeModel(pages, {
      directMap: layout.directMap,
      ramEnd: 0x8000,
      text: layout.text,
      textFrame: layout.textFrame,
      etext: image.frame('_etext'),
      brkEnd: image.brkEnd,
      mapEnd: image.end,
      rodata: [
        image.guestFrame(image.frame('__start_rodata')),
        image.guestFrame(image.frame('__end_rodata')),
      ],
    });
  }

  /** The pages of the model and those of memory, both as text, where they differ. */
  function differences(model: AttributeModel, { memory, kernel }: RunningKernel): string[] {
    const seen = new Map<number, string>();
    const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
    walkMappings(
      tables,
      upperHalfStart(4),
      (2 ** 52) as VirtualFrame,
      ({ virtualFrame, guestFrame, frames, low, high }) => {
        for (let page = 0; page < frames; page++) {
          const rights = `${(low & 2) !== 0} ${high >>> 31 === 1}`;
          seen.set(virtualFrame + page, `${guestFrame + page} ${rights}`);
        }
      },
    );
    const found: string[] = [];
    for (const [at, { frame, present, writable, noExecute }] of model.pages) {
      const expected = present ? `${frame} ${writable} ${noExecute}` : undefined;
      if (seen.get(at) !== expected) found.push(`${at.toString(16)}: ${seen.get(at)}, expected ${expected}`);
      seen.delete(at);
    }
    return [...found, ...[...seen].map(([at, text]) => `${at.toString(16)}: ${text}, expected nothing`)];
  }

  test('agrees with a page-by-page model about every page of the kernel, whatever is done to it', () => {
    const place = fc.record({
      base: fc.constantFrom('image', 'direct', 'direct image', 'vmalloc'),
      offset: fc.oneof(
        fc.nat(30 * 512),
        fc.nat(29).map((huge) => huge * 512),
      ),
      pages: fc.oneof(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 2000 }),
        fc.constantFrom(512, 1024),
      ),
      what: fc.constantFrom(...(Object.keys(WHAT) as SetMemory[])),
    });
    let compared = 0;
    fc.assert(
      fc.property(fc.array(place, { minLength: 8, maxLength: 25 }), (calls) => {
        const running = bootKernel();
        const { kernel } = running;
        const area = Number(done(kernel.vmalloc(40)).address >> 12n);
        const model = modelOf(running);
        const { directMap, text, textFrame } = kernel.layout;
        const bases: Record<string, number> = {
          image: text,
          direct: directMap,
          'direct image': directMap + textFrame,
          vmalloc: area,
        };
        for (const { base, offset, pages, what } of calls) {
          const start = (bases[base] ?? 0) + (base === 'vmalloc' ? offset % 40 : offset);
          const [change, aliases] = WHAT[what];
          const outcome = kernel.setMemory(what, virtualAddressOf(start as VirtualFrame), pages);
          const whole = model.change(start, pages, change, aliases);
          if (outcome.kind === 'oops') {
            // The kernel has taken its own page tables away: it stops where it stores to one of them.
            const page = model.pages.get(Number(outcome.address >> 12n));
            expect(page?.writable === true && page.present).toBe(false);
            return;
          }
          compared++;
          expect(outcome.kind).toBe(whole ? 'done' : 'error');
        }
        expect(differences(model, running)).toEqual([]);
      }),
      { numRuns: 6 },
    );
    expect(compared).toBeGreaterThan(2);
  });
});
