import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { createMemoryMap, type Gfn, gfn, type VirtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import type { LinuxEvent, ModuleImage } from '../index.ts';
import { createRecordingHeki } from '../testing/recording-heki.ts';
import { after, bootKernel, done } from '../testing/running-kernel.ts';

const VECTORS = fileURLToPath(new URL('../../../../vectors/counters/', import.meta.url));
const MEMORY = createMemoryMap<Gfn>([
  { start: gfn(1), end: gfn(0x9f), type: 'ram' },
  { start: gfn(0x100), end: gfn(0x10000), type: 'ram' },
]);

/** A hook call of the recording; `where` is the function of Linux. */
interface Call {
  readonly cmd: string;
  readonly where: string;
}

/** The recording in the words of {@link lived}: a poke's two calls are one word. */
function recorded(): string[] {
  const text = gunzipSync(readFileSync(`${VECTORS}real-6.1-256m.json.gz`)).toString();
  const [life = []] = JSON.parse(text) as Call[][];
  return life.flatMap(({ cmd, where }) => {
    if (where === '__text_poke') return cmd === 'map' ? ['poke'] : [];
    if (cmd === 'update') return [where];
    return [where.startsWith('heki_') ? where : cmd];
  });
}

const UPDATES: { readonly [change: string]: string } = {
  '/RW,D': 'set_memory_ro',
  '/XD': 'set_memory_x',
  'XD/': 'set_memory_nx',
  'RW/': 'set_memory_rw',
  '/RW,D,XD': 'set_memory_rox',
};

/** The hooks among events; which function an update was made in tells the change that follows it. */
function lived(events: readonly LinuxEvent[]): string[] {
  return events.flatMap((event, index) => {
    if (event.type === 'boot-step') return event.step.startsWith('heki_') ? [event.step] : [];
    if (event.type !== 'heki-hook' || event.hook === 'text-poke-end') return [];
    if (event.hook === 'text-poke-start') return ['poke'];
    if (event.hook !== 'update') return [event.hook];
    const next = events.slice(index + 1, index + 600).find(({ type }) => type === 'attributes');
    if (next?.type !== 'attributes') return ['set_memory of nothing'];
    return [UPDATES[`${next.set.join()}/${next.clear.join()}`] ?? 'unknown'];
  });
}

const collapse = (words: readonly string[]): string[] =>
  words.filter((word, index) => word !== words[index - 1]);

/** The differences of two lists of words, along a longest common subsequence: `words of the one -> words of the other`. */
function differences(one: readonly string[], other: readonly string[]): string[] {
  const width = other.length + 1;
  const common = new Uint16Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      common[i * width + j] =
        one[i] === other[j]
          ? (common[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  const found: string[] = [];
  let missing: string[] = [];
  let extra: string[] = [];
  const flush = (): void => {
    if (missing.length + extra.length > 0) found.push(`${missing.join(' ')} -> ${extra.join(' ')}`);
    missing = [];
    extra = [];
  };
  for (let i = 0, j = 0; i < one.length || j < other.length; ) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      flush();
      i++;
      j++;
    } else if (
      j === other.length ||
      (i < one.length && (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      missing.push(one[i++] ?? '');
    } else extra.push(other[j++] ?? '');
  }
  flush();
  return found;
}

/** The modules of the recording: lock prefixes, and static calls. */
const MODULES: readonly (readonly [number, number])[] = [
  [0, 0],
  [0, 0],
  [169, 1308],
  [40, 9],
  [0, 1],
  [7, 10],
  [0, 0],
  [41, 20],
  [10, 6],
  [61, 17],
];

function moduleImage(number: number, lockPrefixes: number, staticCalls: number): ModuleImage {
  const offsets = (count: number, from: number): number[] =>
    Array.from({ length: count }, (_, index) => from + 8 * index);
  const page = (): Uint8Array => new Uint8Array(4096).fill(0x90);
  return {
    name: `m${number}`,
    memory: {
      text: new Uint8Array(8 * (lockPrefixes + staticCalls) + 4096).fill(0x90),
      data: page(),
      rodata: page(),
      ro_after_init: page(),
      init_text: page(),
      init_data: page(),
    },
    sites: { lockPrefixes: offsets(lockPrefixes, 0), staticCalls: offsets(staticCalls, 8 * lockPrefixes) },
  };
}

/**
 * What was done with the real kernel, done with the model. What the kernel does of itself is the model's; threads' stacks, devices
 * and users' memory come from here, and so do the pokes of which the recording does not say whose they are.
 */
function live(): string[] {
  const running = bootKernel(
    {
      memoryMap: MEMORY,
      heki: createRecordingHeki({ profile: 'rfc-v2' }).create,
      hooks: 'rfc-v2',
      commandLine: 'nokaslr',
    },
    { before: 'init_real_mode' },
  );
  const { kernel, events } = running;
  const text = kernel.address('_text');
  const code = new Uint8Array(384).fill(0x90);
  const sites = (first: number, count: number): VirtualAddress[] =>
    Array.from({ length: count }, (_, index) => after(text, first + 64 * index));
  const stack = (): unknown => done(kernel.vmalloc(4));
  const areas = (...pages: number[]): VirtualAddress[] =>
    pages.map((count) => done(kernel.vmalloc(count)).address);
  const free = (addresses: readonly VirtualAddress[]): void => {
    for (const address of addresses) done(kernel.vfree(address));
  };

  // kernel_init: threads, initcalls, devices.
  done(kernel.boot({ before: 'free_initmem' }));
  stack();
  done(kernel.setStaticKey(sites(0, 1), true));
  stack();
  done(kernel.setStaticKey(sites(0x1000, 4), true));
  stack();
  done(kernel.loadBpfProgram(code));
  stack();
  done(kernel.ioremap(gfn(0xfd000), 1));
  for (const pokes of [3, 2, 12]) {
    done(kernel.setStaticKey(sites(0x2000, pokes), true));
    stack();
  }
  // The initial RAM disk is freed.
  const disk = running.direct(done(kernel.allocatePages(9)));
  done(kernel.setMemory('nx', disk, 512));
  done(kernel.setMemory('rw', disk, 512));
  return [...lived(events), ...finish()];

  function finish(): string[] {
    const from = events.length;
    const old = areas(4);
    done(kernel.setStaticKey(sites(0x3000, 1), true));
    stack();
    done(kernel.setStaticKey(sites(0x4000, 4), true));
    done(kernel.ioremap(gfn(0xfd001), 1));
    free(areas(1));
    stack();
    free(areas(1));
    stack();
    done(kernel.setStaticKey(sites(0x5000, 7), true));
    // Buffers of decompressors of the initial RAM file system.
    for (let round = 0; round < 9; round++) free(areas(66, 11));
    done(kernel.setStaticKey(sites(0x6000, 1), true));
    free(old);
    areas(3);
    done(kernel.boot());
    for (const [number, [lockPrefixes, staticCalls]] of MODULES.entries()) {
      const file = areas(2);
      done(kernel.loadModule(moduleImage(number, lockPrefixes, staticCalls)));
      free(file);
    }
    for (let program = 0; program < 8; program++) {
      const [keep, ...temporary] = areas(1, 1, 1);
      free(temporary);
      if (keep !== undefined) done(kernel.loadBpfProgram(code));
    }
    stack();
    done(kernel.setStaticKey(sites(0x7000, 11), true));
    done(kernel.ftraceEnable(sites(0x8000, 3)));
    done(kernel.registerKprobe(after(text, 0x9000)));
    free(areas(4));
    return lived(events.slice(from));
  }
}

/** Why the model differs; how often. */
const REASONS: { readonly [difference: string]: readonly [count: number, why: string] } = {
  'set_memory_ro set_memory_x -> set_memory_rox': [
    3,
    '6.1 makes pages of generated code read-only and executable in two calls; set_memory_rox is of 6.2',
  ],
  'unmap -> ': [
    7,
    'a real module comes as a file, whose copy is freed before init; the model gets it relocated',
  ],
  'unmap map -> ': [3, 'the same, and a thread or a per-CPU chunk that happened to come meanwhile'],
};

/** How many pokes came in a row, after memory was protected. */
function pokesInRows(words: readonly string[]): number[] {
  const rows: number[] = [];
  const from = words.indexOf('heki_late_init');
  for (let index = from + 1; index < words.length; index++) {
    if (words[index] !== 'poke') continue;
    if (words[index - 1] === 'poke') rows.push((rows.pop() ?? 0) + 1);
    else rows.push(1);
  }
  return rows;
}

describe('the life of a real kernel', () => {
  test('has as many pokes for each module and each program', () => {
    // After them come ftrace and kprobes, whose calls of Debian's assembly the model's image does not have.
    const real = pokesInRows(recorded()).slice(0, 22);
    expect(real.slice(0, 4)).toEqual([169, 3 * 1308, 40, 3 * 9]);
    expect(pokesInRows(live()).slice(0, 22)).toEqual(real);
  });

  test('has the same kinds of calls of Heki in the same order, but for what is known', () => {
    const words = live();
    // Recorded from heki_early_init on, before which the counters are empty.
    const found = differences(collapse(recorded()), collapse(words.slice(words.indexOf('heki_early_init'))));
    const counts = new Map<string, number>();
    for (const difference of found) counts.set(difference, (counts.get(difference) ?? 0) + 1);
    for (const [difference, count] of counts) {
      console.log(`${count} x ${difference}: ${REASONS[difference]?.[1] ?? 'unknown'}`);
    }
    const expected = Object.entries(REASONS).map(([difference, [count]]) => [difference, count]);
    expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(expected));
  });
});
