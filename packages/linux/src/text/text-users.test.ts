import { gfn, type VirtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createRecordingHeki } from '../testing/recording-heki.ts';
import { after, bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';

const NOP5 = [0x0f, 0x1f, 0x44, 0, 0];

const bytesAt = (running: RunningKernel, address: VirtualAddress, length: number): number[] =>
  running.bytes(running.leaf(address)?.guestFrame ?? gfn(0), Number(address % 4096n), length);

/** Calls of Heki around pokes. */
const pokeHooks = ({ events }: RunningKernel): number =>
  events.filter((event) => event.type === 'heki-hook' && event.hook.startsWith('text-poke')).length;

function moduleText(
  running: RunningKernel,
  staticCalls: readonly number[] = [],
  stride = 64,
): VirtualAddress {
  const text = new Uint8Array(4096).fill(0x90);
  for (let at = 0; at < 4096; at += stride) text.set(NOP5, at);
  const image = { name: 'm', memory: { text }, sites: { staticCalls } };
  return (
    done(running.kernel.loadModule(image)).memory.get('text')?.address ?? running.kernel.address('_text')
  );
}

describe('text_poke_bp_batch', () => {
  test('puts int3 over every site, then the rest of each, then the first bytes', () => {
    const running = bootKernel();
    const text = moduleText(running);
    const from = running.events.length;
    const bytes = Uint8Array.of(1, 2, 3, 4, 5);
    const patches = [0, 64].map((offset) => ({ address: after(text, offset), bytes }));
    done(running.kernel.textPokeBatch(patches));
    const pokes = running.events
      .slice(from)
      .flatMap((event) => (event.type === 'text-poke' ? [[Number(event.address - text), event.bytes]] : []));
    expect(pokes).toEqual([
      [0, 1],
      [64, 1],
      [1, 4],
      [65, 4],
      [0, 1],
      [64, 1],
    ]);
    expect(bytesAt(running, after(text, 64), 5)).toEqual([...bytes]);
  });

  test('goes in vectors of 256 sites in ascending order', () => {
    const running = bootKernel();
    const text = running.kernel.address('_text');
    const from = running.events.length;
    const offsets = [...Array.from({ length: 257 }, (_, index) => 8 * index), 4];
    const bytes = Uint8Array.of(1);
    done(running.kernel.textPokeBatch(offsets.map((offset) => ({ address: after(text, offset), bytes }))));
    const order = running.events
      .slice(from)
      .flatMap((event) => (event.type === 'text-poke' ? [Number(event.address - text)] : []));
    const vector = offsets.slice(0, 256);
    expect(order).toEqual([...vector, ...vector, 2048, 2048, 4, 4]);
  });

  test('gives every byte of a vector back when Heki refuses at any point', () => {
    for (const pokes of [1, 2, 3, 4, 5]) {
      const running = bootKernel({ heki: createRecordingHeki().create });
      const text = moduleText(running);
      const { heki } = running.kernel;
      const { hypervisor } = heki ?? {};
      if (heki === undefined || hypervisor === undefined) throw new Error('no core');
      // One call opens a page, another closes it; one is refused.
      let calls = 0;
      heki.hypervisor = {
        ...hypervisor,
        protectMemory: (list) => (calls++ === 2 * pokes ? -1 : hypervisor.protectMemory(list)),
      };
      const outcome = running.kernel.setStaticKey([text, after(text, 64)], true);
      expect(outcome).toMatchObject({ kind: 'error', errno: -1 });
      expect([bytesAt(running, text, 5), bytesAt(running, after(text, 64), 5)]).toEqual([NOP5, NOP5]);
    }
  });

  test('of one site calls Heki six times', () => {
    const running = bootKernel({ heki: createRecordingHeki().create });
    const text = moduleText(running);
    const before = pokeHooks(running);
    done(running.kernel.setStaticKey([text], true));
    expect(pokeHooks(running) - before).toBe(6);
  });

  test('takes int3 back when Heki refuses in the middle', () => {
    const heki = createRecordingHeki();
    const running = bootKernel({ heki: heki.create });
    const text = moduleText(running);
    const image = running.kernel.address('_text');
    heki.answer = 0;
    const { hypervisor } = running.kernel.heki ?? {};
    if (hypervisor === undefined || running.kernel.heki === undefined) throw new Error('no core');
    // Refuses what concerns the image, as a hypervisor does for immutable frames.
    let allowed = 2;
    running.kernel.heki.hypervisor = {
      ...hypervisor,
      protectMemory: (list) => (allowed-- > 0 ? hypervisor.protectMemory(list) : -1),
    };
    const outcome = running.kernel.setStaticKey([text, image], true);
    expect(outcome).toMatchObject({ kind: 'error', errno: -1 });
    allowed = Number.POSITIVE_INFINITY;
    expect(bytesAt(running, after(image, 0), 1)).toEqual([0]);
  });
});

describe('text_poke_early', () => {
  test('serves static keys while the kernel boots, and faults when text is locked', () => {
    const running = bootKernel({}, { before: 'rest_init' });
    const { kernel, events } = running;
    const site = after(kernel.address('_text'), 0x5000);
    done(kernel.setStaticKey([site], true));
    expect(bytesAt(running, site, 5)).toEqual([0xe9, 0xfb, 0, 0, 0]);
    expect(events.some(({ type }) => type === 'text-poke')).toBe(false);
    done(kernel.boot());
    expect(kernel.textPokeEarly(site, Uint8Array.from(NOP5))).toMatchObject({
      kind: 'oops',
      access: 'store',
    });
    done(kernel.setStaticKey([site], false));
    expect(bytesAt(running, site, 5)).toEqual(NOP5);
    expect(events.filter(({ type }) => type === 'text-poke')).toHaveLength(3);
  });
});

describe('the sites of a module', () => {
  const memory = { text: new Uint8Array(4096).fill(0xf0) };

  test('lose lock prefixes and fentry calls before the module is formed, and get jumps afterwards', () => {
    const running = bootKernel();
    const { kernel, events } = running;
    const sites = { lockPrefixes: [1], ftrace: [16], jumpLabels: [32, 48], staticCalls: [64] };
    const text = done(kernel.loadModule({ name: 'm', memory, sites })).memory.get('text')?.address;
    const address = text ?? kernel.address('_text');
    const order = events.flatMap((event): readonly (string | number)[] => {
      if (event.type === 'text-poke') return [Number(event.address - address)];
      return event.type === 'module' ? [event.step] : [];
    });
    expect(order).toEqual([
      1,
      'allocated',
      'formed',
      ...[32, 48, 33, 49, 32, 48],
      ...[64, 65, 64],
      'live',
      'init-freed',
    ]);
    expect(bytesAt(running, after(address, 1), 1)).toEqual([0x3e]);
    expect(bytesAt(running, after(address, 16), 5)).toEqual(NOP5);
    expect(bytesAt(running, after(address, 48), 1)).toEqual([0xe9]);
  });

  test('keep lock prefixes where there are several processors', () => {
    const running = bootKernel({ cpus: 2 });
    const image = { name: 'm', memory, sites: { lockPrefixes: [1] } };
    const text = done(running.kernel.loadModule(image)).memory.get('text')?.address;
    expect(bytesAt(running, after(text ?? running.kernel.address('_text'), 1), 1)).toEqual([0xf0]);
  });

  test('lie in its text, or the module is refused', () => {
    const { kernel } = bootKernel();
    for (const offset of [-1, 4092, 0.5]) {
      const outcome = kernel.loadModule({ name: 'm', memory, sites: { staticCalls: [offset] } });
      expect(outcome).toMatchObject({ kind: 'error', errno: -8 });
    }
  });

  test('are forgotten with it', () => {
    const { kernel } = bootKernel();
    const image = { name: 'm', memory, sites: { ftrace: [16, 32] } };
    const load = (): VirtualAddress =>
      done(kernel.loadModule(image)).memory.get('text')?.address ?? kernel.address('_text');
    const first = load();
    done(kernel.ftraceEnable([after(first, 16)]));
    done(kernel.registerKprobe(after(first, 32)));
    done(kernel.unloadModule('m'));
    const second = load();
    done(kernel.ftraceEnable([after(second, 16)]));
    done(kernel.registerKprobe(after(second, 32)));
  });
});

describe('static calls', () => {
  test('of a module are pointed at their targets when it comes, in three pokes each', () => {
    const running = bootKernel();
    const before = running.events.filter(({ type }) => type === 'text-poke').length;
    const text = moduleText(running, [0, 128, 256]);
    expect(running.events.filter(({ type }) => type === 'text-poke').length - before).toBe(9);
    const [opcode, ...relative] = bytesAt(running, after(text, 128), 5);
    expect(opcode).toBe(0xe8);
    const target = running.kernel.address('_text') - after(text, 128) - 5n;
    expect(new DataView(Uint8Array.from(relative).buffer).getInt32(0, true)).toBe(Number(target));
  });
});

describe('ftrace', () => {
  test('makes calls of no-ops and no-ops of calls, with one trampoline while anything is traced', () => {
    const running = bootKernel();
    const { kernel } = running;
    const text = moduleText(running);
    done(kernel.ftraceEnable([text]));
    done(kernel.ftraceEnable([after(text, 64)]));
    expect(kernel.ftraceEnable([text])).toMatchObject({ errno: -16 });
    const relative = Uint8Array.from(bytesAt(running, text, 5).slice(1));
    const trampoline = after(text, 5 + new DataView(relative.buffer).getInt32(0, true));
    expect(running.rights(trampoline)).toBe('r-x');
    expect(bytesAt(running, trampoline, 2)).toEqual([0xc3, 0xcc]);
    done(kernel.ftraceDisable([text]));
    expect(running.rights(trampoline)).toBe('r-x');
    done(kernel.ftraceDisable([after(text, 64)]));
    expect(running.rights(trampoline)).toBe('---');
    expect(bytesAt(running, text, 5)).toEqual(NOP5);
    expect(kernel.ftraceDisable([text])).toMatchObject({ errno: -2 });
  });
});

describe('ftrace that Heki refuses', () => {
  /** A kernel with a module full of sites, and where a site's call goes. `refuse` has Heki refuse the n-th call from now on. */
  function tracedKernel() {
    const running = bootKernel({ heki: createRecordingHeki().create });
    const text = moduleText(running, [], 8);
    const { heki } = running.kernel;
    const { hypervisor } = heki ?? {};
    if (heki === undefined || hypervisor === undefined) throw new Error('no core');
    const refuse = (nth: number): void => {
      let calls = 0;
      heki.hypervisor = {
        ...hypervisor,
        protectMemory: (list) => (calls++ === nth ? -1 : hypervisor.protectMemory(list)),
      };
    };
    const targetOf = (site: VirtualAddress): VirtualAddress => {
      const relative = Uint8Array.from(bytesAt(running, site, 5).slice(1));
      return after(site, 5 + new DataView(relative.buffer).getInt32(0, true));
    };
    return { running, text, refuse, targetOf };
  }

  test('keeps the trampoline that other functions call, and frees one that was made for nothing', () => {
    const { running, text, refuse, targetOf } = tracedKernel();
    const { kernel } = running;
    done(kernel.ftraceEnable([text]));
    const trampoline = targetOf(text);
    done(kernel.ftraceDisable([text]));
    refuse(4);
    expect(kernel.ftraceEnable([text])).toMatchObject({ errno: -1 });
    expect(bytesAt(running, text, 5)).toEqual(NOP5);
    // It lay where the first had been.
    expect(running.rights(trampoline)).toBe('---');
    refuse(-1);
    done(kernel.ftraceEnable([text]));
    expect(targetOf(text)).toBe(trampoline);
    refuse(4);
    expect(kernel.ftraceEnable([after(text, 64)])).toMatchObject({ errno: -1 });
    expect(running.rights(trampoline)).toBe('r-x');
    refuse(-1);
    done(kernel.ftraceDisable([text]));
    expect(running.rights(trampoline)).toBe('---');
  });

  test('keeps a new trampoline while sites of an earlier vector call it, and goes on tracing those', () => {
    const { running, text, refuse, targetOf } = tracedKernel();
    const { kernel } = running;
    const sites = Array.from({ length: 257 }, (_, n) => after(text, 8 * n));
    // Each site takes three pokes, each poke two calls: the first vector of 256 is through.
    refuse(256 * 6 + 2);
    expect(kernel.ftraceEnable(sites)).toMatchObject({ errno: -1 });
    const trampoline = targetOf(text);
    expect(running.rights(trampoline)).toBe('r-x');
    expect(bytesAt(running, after(text, 8 * 256), 5)).toEqual(NOP5);
    refuse(-1);
    expect(kernel.ftraceEnable([text])).toMatchObject({ errno: -16 });
    done(kernel.ftraceDisable(sites.slice(0, 256)));
    expect(running.rights(trampoline)).toBe('---');
  });
});

describe('kprobes', () => {
  test.each([
    [false, 1, 0xcc],
    [true, 5, 0xe9],
  ])('optimized: %s change %i bytes, and give them back', (optimized, length, opcode) => {
    const running = bootKernel();
    const { kernel } = running;
    const text = moduleText(running);
    done(kernel.registerKprobe(text, { optimized }));
    expect(bytesAt(running, text, 5).slice(length)).toEqual(NOP5.slice(length));
    expect(bytesAt(running, text, 1)).toEqual([opcode]);
    expect(kernel.registerKprobe(text)).toMatchObject({ errno: -17 });
    done(kernel.unregisterKprobe(text));
    expect(bytesAt(running, text, 5)).toEqual(NOP5);
    expect(kernel.unregisterKprobe(text)).toMatchObject({ errno: -2 });
  });

  test('are refused when no slot is free', () => {
    const running = bootKernel();
    const text = moduleText(running);
    const outcomes = Array.from({ length: 17 }, (_, n) => running.kernel.registerKprobe(after(text, 64 * n)));
    expect(outcomes.filter(({ kind }) => kind === 'done')).toHaveLength(16);
    expect(outcomes.at(-1)).toMatchObject({ errno: -12 });
  });
});

describe('eBPF programs', () => {
  test('share a pack of 2 MiB that is read-only and executable, in chunks of 64 bytes', () => {
    const running = bootKernel();
    const { kernel } = running;
    const code = new Uint8Array(100).fill(0x90);
    // The first pack splits leaves of the direct map, whose tables stay.
    done(kernel.unloadBpfProgram(done(kernel.loadBpfProgram(code))));
    const free = kernel.freeFrames;
    const first = done(kernel.loadBpfProgram(code));
    const second = done(kernel.loadBpfProgram(code));
    expect(second - first).toBe(128n);
    expect(running.rights(first)).toBe('r-x');
    expect(bytesAt(running, first, 101)).toEqual([...code, 0xcc]);
    done(kernel.unloadBpfProgram(first));
    expect(bytesAt(running, first, 2)).toEqual([0xcc, 0xcc]);
    expect(done(kernel.loadBpfProgram(code))).toBe(first);
    done(kernel.unloadBpfProgram(first));
    done(kernel.unloadBpfProgram(second));
    expect(running.rights(first)).toBe('---');
    expect(kernel.freeFrames).toBe(free);
    expect(kernel.unloadBpfProgram(first)).toMatchObject({ errno: -2 });
  });

  test('get another pack when they do not fit, and are refused when they are longer than one', () => {
    const { kernel } = bootKernel();
    const big = new Uint8Array(2 ** 20 + 1);
    const first = done(kernel.loadBpfProgram(big));
    const second = done(kernel.loadBpfProgram(big));
    expect(Math.abs(Number(second - first))).toBeGreaterThanOrEqual(2 ** 21);
    expect(kernel.loadBpfProgram(new Uint8Array(2 ** 21 + 1))).toMatchObject({ errno: -7 });
    expect(kernel.loadBpfProgram(new Uint8Array())).toMatchObject({ errno: -22 });
  });
});
