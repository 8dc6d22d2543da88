import type { GuestEvent } from '@heki/guest';
import { createMemoryMap, type Gfn, gfn, type VirtualAddress } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { describe, expect, test } from 'vitest';
import type { LinuxDefectId } from '../defects/linux-defects.ts';
import { createRecordingHeki } from '../testing/recording-heki.ts';
import { bootKernel, done, keepImagePages, type RunningKernel } from '../testing/running-kernel.ts';

const PROFILES = ['rfc-v2', 'hardened'] as const;

/** A kernel with the published hooks and core, apart from what is mended. */
function published(
  mended: readonly LinuxDefectId[],
  options: Parameters<typeof bootKernel>[0] = {},
): RunningKernel {
  const heki = createRecordingHeki({ profile: 'rfc-v2' });
  const defects = Object.fromEntries(mended.map((id) => [id, false]));
  return bootKernel({ heki: heki.create, hooks: 'rfc-v2', defects, commandLine: 'nokaslr', ...options });
}

const counters = ({ kernel }: RunningKernel, frame: Gfn): readonly (number | undefined)[] => {
  const { read, write, execute } = kernel.heki?.counters(frame) ?? {};
  return [read, write, execute];
};

describe('a vmap that fails half way (B-G10)', () => {
  /** Counters of a page of kernel data before and after it was to be mapped 2,000 times, for which there are not enough tables. */
  function failedVmap(running: RunningKernel): { before: unknown; after: unknown } {
    const { kernel } = running;
    const data = gfn(kernel.layout.textFrame + Math.ceil(kernel.build.offsets._sdata / 4096));
    const before = counters(running, data);
    while (kernel.freeFrames > 1) done(kernel.allocatePages());
    const frames = Array.from({ length: 2000 }, () => data);
    expect(kernel.vmap(frames)).toMatchObject({ kind: 'error', errno: -12 });
    return { before, after: counters(running, data) };
  }

  test('makes the published hooks count down what they never counted', () => {
    const { before, after } = failedVmap(published([]));
    expect(before).toEqual([1, 1, 0]);
    expect(after).not.toEqual(before);
    const [read = 0, write = 0] = after as number[];
    expect([read < 0, write < 0]).toEqual([true, true]);
  });

  test('leaves the counters alone once mended, with the other defects and without', () => {
    const alone = failedVmap(published(['B-G10']));
    expect(alone.after).toEqual(alone.before);
    const heki = createRecordingHeki({ profile: 'hardened' });
    const hardened = failedVmap(bootKernel({ heki: heki.create, commandLine: 'nokaslr' }));
    expect(hardened.after).toEqual(hardened.before);
  });
});

describe('a change of 2 GiB and more (B-G11)', () => {
  const memoryMap = createMemoryMap<Gfn>([
    { start: gfn(1), end: gfn(0x9f), type: 'ram' },
    { start: gfn(0x100), end: gfn(0x180000), type: 'ram' },
  ]);
  const FRAME = gfn(0x60000);

  /** Ranges that Heki was told of when `pages` pages of the direct map became read-only. */
  function told(running: RunningKernel, pages: number): number[] {
    const { kernel, events, direct } = running;
    const from = events.length;
    done(kernel.setMemory('ro', direct(FRAME), pages));
    expect(running.rights(direct(FRAME))).toBe('r--');
    return events
      .slice(from)
      .flatMap((event) =>
        event.type === 'heki-hook' && event.range !== undefined ? [event.range.end - event.range.start] : [],
      );
  }

  test('is told with the end that an int has', () => {
    const running = published([], { memoryMap });
    expect(told(running, 2 ** 19 - 1)).toEqual([2 ** 19 - 1]);
    expect(told(running, 2 ** 19)).toEqual([-(2 ** 19)]);
    expect(told(running, 2 ** 20)).toEqual([0]);
    expect(told(running, 2 ** 20 + 3)).toEqual([3]);
  });

  test('is told as it is once mended', () => {
    const running = published(['B-G11'], { memoryMap });
    expect([2 ** 19, 2 ** 20, 2 ** 20 + 3].map((pages) => told(running, pages))).toEqual([
      [2 ** 19],
      [2 ** 20],
      [2 ** 20 + 3],
    ]);
  });

  test('reaches the second level under hardened', () => {
    for (const profile of PROFILES) {
      const heki = createRecordingHeki({ profile });
      const running = bootKernel({ heki: heki.create, hooks: profile, commandLine: 'nokaslr', memoryMap });
      // Mapped a second time, so that the published core counts the page too.
      done(running.kernel.vmap([FRAME]));
      done(running.kernel.setMemory('rw', running.direct(FRAME), 1));
      const granted = running.kernel.heki?.counters(FRAME)?.write;
      done(running.kernel.setMemory('ro', running.direct(FRAME), 2 ** 19));
      const left = running.kernel.heki?.counters(FRAME)?.write;
      expect((granted ?? 0) - (left ?? 0), profile).toBe(profile === 'hardened' ? 1 : 0);
    }
  });
});

describe('a change of permissions that fails (B-G12)', () => {
  /** Counters of the first page of an area and of one in its middle, before and after all from the latter on to past the end became read-only. */
  function failedChange(running: RunningKernel): { before: unknown[]; after: unknown[] } {
    const { kernel, leaf } = running;
    const { address } = done(kernel.vmalloc(600));
    const middle = (address + 4096n * 512n) as VirtualAddress;
    const frames = [address, middle].map((at) => leaf(at)?.guestFrame ?? gfn(0));
    const before = frames.map((frame) => counters(running, frame));
    expect(kernel.setMemory('ro', middle, 600)).toMatchObject({ kind: 'error', errno: -14 });
    return { before, after: frames.map((frame) => counters(running, frame)) };
  }

  test('for want of a page to split a leaf stays counted as published', () => {
    const running = published([]);
    const split = failedSplit(running);
    expect(split.after).not.toEqual(split.before);
    expect(running.rights(running.direct(split.frame))).toBe('rw-');
  });

  test('is counted as far as it went once mended', () => {
    const running = published(['B-G12']);
    const split = failedSplit(running);
    expect(split.after).toEqual(split.before);
    // What was changed before the hole stays changed, and counted.
    const { before, after } = failedChange(running);
    expect(after[0]).toEqual(before[0]);
    expect(after[1]).not.toEqual(before[1]);
  });

  test('is not counted under hardened, which hears of leaves that change', () => {
    const heki = createRecordingHeki({ profile: 'hardened' });
    const running = bootKernel({ heki: heki.create, commandLine: 'nokaslr' });
    const split = failedSplit(running);
    expect(split.after).toEqual(split.before);
  });

  /** A page that is mapped twice is to become read-only in the direct map, where its large leaf cannot be split. */
  function failedSplit(running: RunningKernel): { frame: Gfn; before: unknown; after: unknown } {
    const { kernel, direct } = running;
    const frame = gfn(0x6100);
    done(kernel.vmap([frame]));
    const before = counters(running, frame);
    const kept: Gfn[] = [];
    for (let taken = kernel.allocatePages(); taken.kind === 'done'; taken = kernel.allocatePages()) {
      kept.push(taken.value);
    }
    expect(kernel.setMemory('ro', direct(frame), 1)).toMatchObject({ kind: 'error', errno: -12 });
    const after = counters(running, frame);
    for (const one of kept) kernel.freePages(one);
    return { frame, before, after };
  }
});

describe('code that was generated before late init (B-G16)', () => {
  /** What was asked for the page of an eBPF program that was loaded during boot. */
  function asked(profile: Profile): string[] {
    const heki = createRecordingHeki({ profile });
    // With B-G4 the page would be asked for as writable, when its memory was init code before.
    const defects = { 'B-G4': false };
    const running = bootKernel(
      { heki: heki.create, hooks: profile, defects, commandLine: 'nokaslr' },
      { before: 'heki_late_init' },
    );
    const address = done(running.kernel.loadBpfProgram(Uint8Array.of(0xc3)));
    done(running.kernel.boot());
    const frame = running.leaf(address)?.guestFrame ?? gfn(0);
    return heki.requests
      .filter(({ start, end }) => frame >= start && frame < end)
      .map(({ letters }) => letters);
  }

  test('is immutable as published', () => {
    expect(asked('rfc-v2')).toEqual(['r-x!']);
  });

  test('is protected under hardened, and can change', () => {
    expect(asked('hardened')).toEqual(['r-x']);
  });
});

describe('a kernel with rodata=off (B-G18)', () => {
  test('is called protected as published, and told how many pages are not under hardened', () => {
    const texts = (profile: Profile, commandLine: string): string[] => {
      const events: GuestEvent[] = [];
      const heki = createRecordingHeki({ profile, onEvent: (event) => events.push(event) });
      bootKernel({ heki: heki.create, hooks: profile, commandLine });
      return events.flatMap((event) => ('text' in event ? [event.text] : [])).slice(-1);
    };
    const success = ['heki-guest: Guest memory protected'];
    expect(texts('rfc-v2', 'nokaslr rodata=off')).toEqual(success);
    expect(texts('hardened', 'nokaslr rodata=off')).toEqual([
      expect.stringMatching(/^\d+ pages are writable and executable: they are not protected$/),
    ]);
    expect(texts('hardened', 'nokaslr')).toEqual(success);
  });
});

describe('a text poke (B-G22)', () => {
  /** What happens in one, in order: stores to the alias and to the entry that maps it, and what Heki asks for. */
  function pokeOrder(profile: Profile): string[] {
    const heki = createRecordingHeki({ profile });
    const order: string[] = [];
    const running = bootKernel({
      heki: heki.create,
      hooks: profile,
      commandLine: 'nokaslr',
      setup: {
        onEvent(event) {
          if (event.type !== 'access' || event.access !== 'store') return;
          if (event.va < 2n ** 63n) order.push('store to the alias');
          else if (event.bytes === 8) order.push('store to its entry');
        },
      },
    });
    const { kernel } = running;
    keepImagePages(running);
    const text = new Uint8Array(4096);
    const address = done(kernel.loadModule({ name: 'm', memory: { text } })).memory.get('text')?.address;
    heki.onRequest = ({ letters }) => order.push(letters);
    order.length = 0;
    done(kernel.textPoke(address ?? kernel.address('_text'), Uint8Array.of(0xcc)));
    return order;
  }

  test('opens the page before its writable mapping is made and closes it afterwards, as published', () => {
    expect(pokeOrder('rfc-v2')).toEqual([
      'rwx',
      'store to its entry',
      'store to the alias',
      'store to its entry',
      'r-x',
    ]);
  });

  test('opens it no longer than that mapping is there, once mended', () => {
    expect(pokeOrder('hardened')).toEqual([
      'store to its entry',
      'rwx',
      'store to the alias',
      'r-x',
      'store to its entry',
    ]);
  });
});
