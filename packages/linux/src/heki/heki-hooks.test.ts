import type { GuestDefectId } from '@heki/guest';
import { type Gfn, gfn, type VirtualAddress } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import fc, { type Arbitrary } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ImageSymbol, KernelOutcome, LinuxEvent, SetMemory } from '../index.ts';
import { collectivePermissions, kernelLeaves } from '../testing/machine.ts';
import { createRecordingHeki, type RecordingHeki } from '../testing/recording-heki.ts';
import { after, bootKernel, done, keepImagePages, type RunningKernel } from '../testing/running-kernel.ts';

type Value<From> = From extends Arbitrary<infer Generated> ? Generated : never;

/** A page of text, one of data, one of rodata. */
const page = new Uint8Array(4096).fill(0x90);
const image = { name: 'm', memory: { text: page, rodata: page } };

function protectedKernel(
  profile: Profile,
  commandLine = 'nokaslr',
  defects: { readonly [id in GuestDefectId]?: boolean } = {},
) {
  const heki = createRecordingHeki({ profile, defects });
  const running = bootKernel({ heki: heki.create, hooks: profile, commandLine });
  return { ...running, recording: heki };
}

/** Hooks and other events in the order in which they came, as words. */
function words(events: readonly LinuxEvent[]): string[] {
  return events.flatMap((event) => {
    switch (event.type) {
      case 'heki-hook':
        return [`heki ${event.hook}`];
      case 'attributes':
        return [`set ${event.set.join()} clear ${event.clear.join()}`];
      case 'mapped':
      case 'unmapped':
      case 'text-poke':
        return [event.type];
      default:
        return [];
    }
  });
}

const frameOf = ({ leaf }: RunningKernel, address: VirtualAddress): Gfn =>
  leaf(address)?.guestFrame ?? gfn(0);

/** The last request for a frame. */
const last = ({ requests }: RecordingHeki, frame: Gfn): string | undefined =>
  requests.findLast(({ start, end }) => frame >= start && frame < end)?.letters;

describe('Linux calls Heki', () => {
  const running = protectedKernel('rfc-v2');
  const { kernel, events } = running;

  /** What happens in `action`. */
  function during(action: () => void): string[] {
    const from = events.length;
    action();
    return words(events.slice(from));
  }

  test('after the step of security_init for the first count, after mark_rodata_ro for the protection', () => {
    const order = events.flatMap((event) => {
      if (event.type === 'boot-step') return [event.step];
      return event.type === 'heki-early-init' || event.type === 'heki-late-init' ? [event.type] : [];
    });
    expect(order.slice(-10)).toEqual([
      'heki_early_init',
      'heki-early-init',
      'rest_init',
      'init_real_mode',
      'smp_init',
      'free_initmem',
      'mark_rodata_ro',
      'heki_late_init',
      'heki-late-init',
      'run_init_process',
    ]);
  });

  test('after a mapping was made, and before one is taken away', () => {
    let address = 0n as VirtualAddress;
    expect(during(() => (address = done(kernel.vmalloc(2)).address))).toEqual(['mapped', 'heki map']);
    expect(during(() => done(kernel.vfree(address)))).toEqual(['heki unmap', 'unmapped']);
    expect(during(() => done(kernel.ioremap(gfn(0xfd000), 1)))).toEqual(['mapped', 'heki map']);
  });

  test('before the five permission changes that are hooked, and not at the others', () => {
    const { address } = done(kernel.vmalloc(1));
    expect(during(() => done(kernel.setMemory('ro', address, 1)))).toEqual([
      'heki update',
      'set  clear RW,D',
    ]);
    expect(during(() => done(kernel.setMemory('x', address, 1)))).toEqual(['heki update', 'set  clear XD']);
    expect(during(() => done(kernel.setMemory('nx', address, 1)))).toEqual(['heki update', 'set XD clear ']);
    expect(during(() => done(kernel.setMemory('rw', address, 1)))).toEqual(['heki update', 'set RW clear ']);
    expect(during(() => done(kernel.setMemory('rox', address, 1)))).toEqual([
      'heki update',
      'set  clear RW,D,XD',
    ]);
    expect(during(() => done(kernel.setMemory('np', address, 1)))).toEqual(['set  clear P']);
    expect(during(() => done(kernel.setMemory('p', address, 1)))).toEqual(['set P clear ']);
    expect(during(() => done(kernel.setMemory('np_noalias', address, 1)))).toEqual(['set  clear P']);
    expect(during(() => done(kernel.setDirectMap('invalid', gfn(0x6000))))).toEqual(['set  clear P,RW']);
  });

  test('around a text poke', () => {
    const text = done(kernel.loadModule(image)).memory.get('text')?.address ?? kernel.address('_text');
    expect(during(() => done(kernel.textPoke(text, Uint8Array.of(0xcc))))).toEqual([
      'heki text-poke-start',
      'text-poke',
      'heki text-poke-end',
    ]);
  });
});

describe('the counters, over boot', () => {
  /** Counters of a page of each class, and what was sent for it. */
  function classes(before?: Parameters<RunningKernel['kernel']['boot']>[0]) {
    const heki = createRecordingHeki({ profile: 'rfc-v2' });
    const { kernel } = bootKernel({ heki: heki.create, hooks: 'rfc-v2', commandLine: 'nokaslr' }, before);
    const at = (symbol: ImageSymbol, offset = 0): Gfn =>
      gfn(Math.ceil(kernel.build.offsets[symbol] / 4096) + kernel.layout.textFrame + offset);
    const places = {
      text: at('_text'),
      rodata: at('__start_rodata'),
      'text/rodata gap': at('_etext'),
      'freed init': at('__init_begin'),
      data: at('_sdata'),
      idt: at('idt_table'),
      'only in the direct map': gfn(0x7000),
    };
    return Object.fromEntries(
      Object.entries(places).map(([name, frame]) => {
        const { read, write, execute } = kernel.heki?.counters(frame) ?? {};
        return [name, [read, write, execute, last(heki, frame)]];
      }),
    );
  }

  test('begin with everything in the image writable and executable, but for the IDT', () => {
    expect(classes({ before: 'rest_init' })).toEqual({
      text: [1, 1, 1, undefined],
      rodata: [1, 1, 1, undefined],
      'text/rodata gap': [1, 1, 1, undefined],
      'freed init': [1, 1, 1, undefined],
      data: [1, 1, 1, undefined],
      idt: [2, 0, 1, undefined],
      'only in the direct map': [undefined, undefined, undefined, undefined],
    });
  });

  test('end as the published series has them, and what is read-only is sent as immutable', () => {
    expect(classes()).toEqual({
      text: [1, 0, 1, 'r-x!'],
      rodata: [1, 0, 0, 'r--!'],
      'text/rodata gap': [1, 1, 0, 'rw-'],
      'freed init': [expect.any(Number), expect.any(Number), 0, 'rw-'],
      data: [1, 1, 0, 'rw-'],
      idt: [2, 0, 0, 'r--!'],
      'only in the direct map': [undefined, undefined, undefined, 'rw-'],
    });
  });

  test('make the published series take execution from the trampoline, which is in the direct map only', () => {
    const { recording } = protectedKernel('rfc-v2');
    expect([0x98, 0x99, 0x9a, 0x9b].map((frame) => last(recording, gfn(frame)))).toEqual([
      'rw-',
      'rw-',
      'rw-',
      'rw-',
    ]);
    const mended = protectedKernel('hardened').recording;
    expect([0x98, 0x99, 0x9a, 0x9b].map((frame) => last(mended, gfn(frame)))).toEqual([
      'r--!',
      'r-x!',
      'r-x!',
      'rw-',
    ]);
  });
});

test('after boot the hardened core has asked for what all mappings of each page allow', () => {
  for (const commandLine of ['nokaslr', 'pti=on', 'rodata=off']) {
    const { recording, memory, kernel } = protectedKernel('hardened', commandLine);
    const asked = Array.from({ length: 0x8000 }, (_, frame) => last(recording, gfn(frame))?.slice(0, 3));
    const tables = { memory, root: kernel.pageTableRoot, levels: 4 as const };
    const mapped: (string | undefined)[] = [];
    for (const { start, end, letters } of collectivePermissions(tables, 0x8000)) {
      for (let frame = start; frame < end; frame++) mapped[frame] = letters;
    }
    expect(asked).toEqual(mapped);
  }
});

describe('a module page, from loading to unloading, as the published series asks for it', () => {
  const running = protectedKernel('rfc-v2');
  const { kernel, recording } = running;
  keepImagePages(running);
  const { memory } = done(kernel.loadModule(image));
  const text = memory.get('text')?.address ?? kernel.address('_text');
  const rodata = memory.get('rodata')?.address ?? kernel.address('_text');
  const [textFrame, rodataFrame] = [frameOf(running, text), frameOf(running, rodata)];
  let heard = 0;
  /** What was asked for each of the two frames since the last call. */
  const asked = (): string[][] => {
    const latest = recording.requests.slice(heard);
    heard = recording.requests.length;
    return [textFrame, rodataFrame].map((frame) =>
      latest.filter(({ start, end }) => frame >= start && frame < end).map(({ letters }) => letters),
    );
  };

  test('is data with all other memory, then read-only, then executable', () => {
    expect(asked()).toEqual([
      ['rw-', 'r--', 'r-x'],
      ['rw-', 'r--'],
    ]);
  });

  test('is writable and executable while it is patched', () => {
    done(kernel.textPoke(text, Uint8Array.of(0xcc)));
    expect(asked()).toEqual([['rwx', 'r-x'], []]);
  });

  test('is plain data when it is gone', () => {
    done(kernel.unloadModule('m'));
    expect(asked()).toEqual([['rw-'], ['rw-']]);
  });
});

test('module text in memory that was init code is asked for as writable: its mapping in the image is counted (B-G4)', () => {
  const running = protectedKernel('rfc-v2');
  const { kernel, recording, rights, direct } = running;
  const text = done(kernel.loadModule(image)).memory.get('text')?.address ?? kernel.address('_text');
  const frame = frameOf(running, text);
  expect(frame - kernel.layout.textFrame).toBeLessThan(21 * 512);
  expect([rights(text), rights(direct(frame))]).toEqual(['r-x', 'r--']);
  expect(last(recording, frame)).toBe('rwx');
});

test('with the hooks mended it is asked for as what its mappings allow', () => {
  const running = protectedKernel('hardened');
  const text =
    done(running.kernel.loadModule(image)).memory.get('text')?.address ?? running.kernel.address('_text');
  const frame = frameOf(running, text);
  expect(frame - running.kernel.layout.textFrame).toBeLessThan(21 * 512);
  expect(last(running.recording, frame)).toBe('r-x');
});

describe('when Heki refuses', () => {
  test('permissions stay as they are, and the caller hears of it', () => {
    const { kernel, rights, recording } = protectedKernel('hardened');
    const { address } = done(kernel.vmap([gfn(0x7000)]));
    recording.answer = -1;
    expect(kernel.setMemory('ro', address, 1)).toMatchObject({ kind: 'error', errno: -1 });
    expect(rights(address)).toBe('rw-');
    recording.answer = 0;
    expect(kernel.setMemory('ro', address, 1).kind).toBe('done');
  });

  test('a module is not loaded, and nothing of it stays mapped', () => {
    const running = protectedKernel('hardened');
    const { kernel, rights, recording } = running;
    keepImagePages(running);
    recording.answer = -1;
    expect(kernel.loadModule(image)).toMatchObject({ kind: 'error', errno: -1 });
    expect(rights(0xffffffffc0000000n as VirtualAddress)).toBe('---');
    recording.answer = 0;
    expect(kernel.loadModule(image).kind).toBe('done');
  });

  test('text is not patched', () => {
    const { kernel, bytes, recording } = protectedKernel('hardened');
    recording.answer = -1;
    const outcome = kernel.textPoke(kernel.address('_text'), Uint8Array.of(0xcc));
    expect(outcome).toMatchObject({ kind: 'error', errno: -1 });
    expect(bytes(kernel.layout.textFrame, 0, 1)).toEqual([0]);
  });

  test('the published series goes on as if nothing had happened', () => {
    const { kernel, rights, recording } = protectedKernel('rfc-v2');
    const { address } = done(kernel.vmap([gfn(0x7000)]));
    recording.answer = -1;
    expect(kernel.setMemory('ro', address, 1).kind).toBe('done');
    expect(rights(address)).toBe('r--');
  });
});

describe('with all defects mended, whatever a kernel does after boot', () => {
  const LETTERS = ['---', 'r--', '-w-', 'rw-', '--x', 'r-x', '-wx', 'rwx'];

  /** Frames about which the core and the page tables disagree: what the core grants, and what all mappings allow. */
  function disagreements({ kernel, memory }: RunningKernel): object[] {
    const tables = { memory, root: kernel.pageTableRoot, levels: 4 as const };
    const allowed: string[] = Array.from({ length: 0x8000 }, () => 'rw-');
    for (const { start, end, letters } of collectivePermissions(tables, 0x8000)) {
      allowed.fill(letters, start, end);
    }
    return allowed.flatMap((mapped, frame) => {
      const granted = LETTERS[kernel.heki?.permissions(gfn(frame)) ?? 0];
      return granted === mapped ? [] : [{ frame, granted, mapped }];
    });
  }

  const call = fc.oneof(
    fc.record({
      set: fc.constantFrom<SetMemory>('ro', 'rw', 'rox', 'x', 'nx', 'np', 'np_noalias', 'p'),
      on: fc.constantFrom('area', 'direct', 'text', 'data'),
      offset: fc.nat(700),
      pages: fc.integer({ min: 1, max: 600 }),
    }),
    fc.record({ area: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ free: fc.nat(5) }),
    fc.record({ module: fc.constantFrom('a', 'b') }),
    fc.record({ unload: fc.constantFrom('a', 'b') }),
    fc.record({ direct: fc.constantFrom('invalid' as const, 'default' as const) }),
    fc.record({ poke: fc.nat(2 ** 20) }),
  );

  /** One call; areas are the areas of the moment. Whether the kernel still runs. */
  function perform(
    { kernel, direct }: RunningKernel,
    areas: VirtualAddress[],
    one: Value<typeof call>,
  ): boolean {
    const run = (): KernelOutcome<unknown> => {
      if ('area' in one) {
        const outcome = kernel.vmalloc(one.area);
        if (outcome.kind === 'done') areas.push(outcome.value.address);
        return outcome;
      }
      if ('free' in one) {
        const [address = 0n as VirtualAddress] = areas.splice(one.free % Math.max(areas.length, 1), 1);
        return kernel.vfree(address);
      }
      if ('module' in one) return kernel.loadModule({ ...image, name: one.module });
      if ('unload' in one) return kernel.unloadModule(one.unload);
      if ('direct' in one) return kernel.setDirectMap(one.direct, gfn(0x6005));
      if ('poke' in one)
        return kernel.textPoke(after(kernel.address('_text'), one.poke), Uint8Array.of(0x90));
      const base = {
        area: areas[0] ?? kernel.address('_sdata'),
        direct: direct(gfn(0x6000)),
        text: kernel.address('_text'),
        data: kernel.address('__bss_start'),
      }[one.on];
      const offset = one.on === 'area' ? 0 : one.offset;
      return kernel.setMemory(
        one.set,
        after(base ?? direct(gfn(0x6000)), 4096 * offset),
        one.on === 'area' ? 1 : one.pages,
      );
    };
    return run().kind !== 'oops';
  }

  test('what the core grants to each page is what all mappings of it allow', () => {
    let calls = 0;
    fc.assert(
      fc.property(fc.array(call, { minLength: 10, maxLength: 30 }), (life) => {
        const running = protectedKernel('hardened');
        expect(disagreements(running)).toEqual([]);
        const areas: VirtualAddress[] = [];
        for (const one of life) {
          if (!perform(running, areas, one)) return;
          calls++;
        }
        expect(disagreements(running)).toEqual([]);
      }),
      { numRuns: 6 },
    );
    expect(calls).toBeGreaterThan(5);
  });

  test('and no page is granted anything before its mappings allow it, or after (B-G22)', () => {
    /** Requests of a life that grant what no mapping of their moment allows. */
    const tooMuch = (early: boolean, life: (running: RunningKernel) => void): string[] => {
      const running = protectedKernel('hardened', 'nokaslr', { 'B-G22': early });
      const { kernel, memory, recording } = running;
      const found: string[] = [];
      recording.onRequest = ({ start, end, letters }) => {
        const tables = { memory, root: kernel.pageTableRoot, levels: 4 as const };
        const ranges = collectivePermissions(tables, 0x8000);
        for (let frame = start; frame < end; frame++) {
          const allowed = ranges.find((range) => frame >= range.start && frame < range.end)?.letters ?? 'rw-';
          const more = [...letters.slice(0, 3)].some((letter, at) => letter !== '-' && allowed[at] === '-');
          if (more) found.push(`${letters} where mappings allow ${allowed}`);
        }
      };
      life(running);
      return found;
    };
    const module = ({ kernel }: RunningKernel): void => {
      done(kernel.loadModule(image));
      done(kernel.unloadModule('m'));
    };
    expect(new Set(tooMuch(true, module))).toEqual(
      new Set(['r-x where mappings allow r--', 'rw- where mappings allow r--']),
    );
    expect(tooMuch(false, module)).toEqual([]);
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 15 }), (life) => {
        const found = tooMuch(false, (running) => {
          const areas: VirtualAddress[] = [];
          for (const one of life) if ('poke' in one || !perform(running, areas, one)) return;
        });
        expect(found).toEqual([]);
      }),
      { numRuns: 6 },
    );
  });

  test('which the hooks of the published series do not keep: one module is enough', () => {
    const running = protectedKernel('rfc-v2');
    done(running.kernel.loadModule(image));
    expect(disagreements(running)).not.toEqual([]);
  });

  test('and every page of data is counted for each of its mappings', () => {
    const running = protectedKernel('hardened');
    const { kernel, memory } = running;
    done(kernel.loadModule(image));
    done(kernel.unloadModule('m'));
    done(kernel.vmalloc(3));
    const counted = new Map<number, number>();
    kernelLeaves({ memory, root: kernel.pageTableRoot, levels: 4 }, ({ guestFrame, frames }) => {
      for (let at: number = guestFrame; at < guestFrame + frames; at++) {
        counted.set(at, (counted.get(at) ?? 0) + 1);
      }
    });
    const wrong: object[] = [];
    for (let frame = 0; frame < 0x8000; frame++) {
      const read = kernel.heki?.counters(gfn(frame))?.read ?? 0;
      if (read !== (counted.get(frame) ?? 0)) wrong.push({ frame, read, mappings: counted.get(frame) });
    }
    expect(wrong).toEqual([]);
  });
});
