import { type Gfn, gfn, type VirtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { MODULE_MEMORY, type ModuleMemory } from '../index.ts';
import { bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
const image = {
  name: 'loop',
  memory: {
    text: filled(5000, 0x90),
    data: filled(100, 1),
    rodata: filled(4096, 2),
    ro_after_init: filled(8, 3),
    init_text: filled(4097, 0xc3),
    init_data: filled(1, 4),
    init_rodata: filled(1, 5),
  },
};

/** The rights of each kind of memory of the module whose areas were mapped first to last. */
function rightsAt(step: string): Record<ModuleMemory, string> {
  const found = {} as Record<ModuleMemory, string>;
  const running: RunningKernel = bootKernel({
    onEvent(event) {
      if (event.type !== 'module' || event.step !== step) return;
      const areas = running.events.filter(({ type }) => type === 'mapped').slice(-MODULE_MEMORY.length);
      for (const [index, area] of areas.entries()) {
        const type = MODULE_MEMORY[index];
        if (area.type !== 'mapped' || type === undefined) continue;
        found[type] = running.rights(
          (BigInt(area.range.start) << 12n) as Parameters<typeof running.rights>[0],
        );
      }
    },
  });
  done(running.kernel.loadModule(image));
  return found;
}

describe('a module', () => {
  test('is plain data first', () => {
    expect(new Set(Object.values(rightsAt('allocated')))).toEqual(new Set(['rw-']));
  });

  test('is formed with text that executes, data that is written, and nothing that is both', () => {
    expect(rightsAt('formed')).toEqual({
      text: 'r-x',
      data: 'rw-',
      rodata: 'r--',
      ro_after_init: 'rw-',
      init_text: 'r-x',
      init_data: 'rw-',
      init_rodata: 'r--',
    });
  });

  test('makes read-only after init what was initialised, and frees what only init needed', () => {
    const { rights, kernel } = bootKernel();
    const module = done(kernel.loadModule(image));
    const found = [...module.memory].map(([type, { address, pages }]) => [type, rights(address), pages]);
    expect(found).toEqual([
      ['text', 'r-x', 2],
      ['data', 'rw-', 1],
      ['rodata', 'r--', 1],
      ['ro_after_init', 'r--', 1],
    ]);
  });

  test('has its bytes in memory, and its text can be fetched but not written', () => {
    const running = bootKernel();
    const text = done(running.kernel.loadModule(image)).memory.get('text');
    const address = text?.address ?? running.kernel.address('_text');
    const frame = running.leaf(address)?.guestFrame ?? gfn(0);
    expect(running.bytes(frame, 0, 3)).toEqual([0x90, 0x90, 0x90]);
    expect(running.vcpu.fetch(address, 1).kind).toBe('done');
    expect(running.vcpu.store(address, 1, 0xccn)).toMatchObject({ kind: 'exception', errorCode: 3 });
    expect(running.vcpu.store(running.direct(frame), 1, 0xccn)).toMatchObject({ errorCode: 3 });
  });

  test('is gone after it was unloaded, and its frames are data again in the direct map', () => {
    const running = bootKernel();
    const { kernel } = running;
    const places = [...done(kernel.loadModule(image)).memory.values()];
    const frames = places.map(({ address }) => running.leaf(address)?.guestFrame ?? gfn(0));
    done(kernel.unloadModule('loop'));
    expect(places.map(({ address }) => running.rights(address))).toEqual(['---', '---', '---', '---']);
    expect(frames.map((frame) => running.rights(running.direct(frame)))).toEqual([
      'rw-',
      'rw-',
      'rw-',
      'rw-',
    ]);
    expect(kernel.unloadModule('loop')).toMatchObject({ kind: 'error', errno: -2 });
  });

  test('comes to the same addresses again when it is loaded again', () => {
    const { kernel } = bootKernel();
    const first = done(kernel.loadModule(image)).memory.get('text');
    done(kernel.unloadModule('loop'));
    const again = done(kernel.loadModule(image)).memory.get('text');
    expect(again).toEqual(first);
    expect(first?.address).toBe(0xffffffffc0000000n);
  });

  test('is refused twice, and empty', () => {
    const { kernel } = bootKernel();
    done(kernel.loadModule(image));
    expect(kernel.loadModule(image)).toMatchObject({ kind: 'error', errno: -17 });
    expect(kernel.loadModule({ name: 'empty', memory: { text: new Uint8Array() } })).toMatchObject({
      errno: -8,
    });
  });

  test('leaves nothing mapped when memory runs out half way', () => {
    const { kernel, rights } = bootKernel();
    const held: Gfn[] = [];
    while (kernel.freeFrames > 6) held.push(done(kernel.allocatePages()));
    expect(kernel.loadModule(image)).toMatchObject({ kind: 'error', errno: -12 });
    for (let page = 0; page < 16; page++) {
      expect(rights((0xffffffffc0000000n + BigInt(page * 4096)) as VirtualAddress)).toBe('---');
    }
    for (const frame of held) kernel.freePages(frame);
    expect(kernel.loadModule(image).kind).toBe('done');
  });

  test('stays writable and executable with rodata=off', () => {
    const { rights, kernel } = bootKernel({ commandLine: 'rodata=off', refuseWx: false });
    const text = done(kernel.loadModule(image)).memory.get('text');
    expect(rights(text?.address ?? kernel.address('_text'))).toBe('rwx');
  });

  test('moves with KASLR', () => {
    const { kernel } = bootKernel({ kaslrSeed: 3 });
    const { address = 0n } = done(kernel.loadModule(image)).memory.get('text') ?? {};
    expect(address).toBeGreaterThan(0xffffffffc0000000n);
  });
});
