import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FRAME_END, type Gfn, gfn, type Pfn, pfn } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { createMountedMemory } from './mounted-memory.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import { createRam } from './ram.ts';

/** Memory in which every page says its own frame number. */
function numbered<Frame extends Gfn | Pfn>(): PhysicalMemory<Frame> {
  return {
    page: (frame) => Uint32Array.of(frame),
    writablePage: (frame) => Uint32Array.of(frame),
  };
}

describe('mounted memory', () => {
  const guest = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(0x100) }] });
  const hostRam = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x40) }] });
  const host = createMountedMemory<Pfn>({
    mounts: [
      { start: pfn(0x10_0000), frames: 0x80, memory: guest, from: gfn(0x20) },
      { start: pfn(0), frames: 0x40, memory: hostRam, from: pfn(0) },
    ],
  });

  it('shows guest RAM at host frames, both ways', () => {
    const page = host.writablePage(pfn(0x10_0001));
    if (page !== undefined) page[0] = 42;
    expect(guest.page(gfn(0x21))?.[0]).toBe(42);
    guest.writablePage(gfn(0x22))?.fill(43);
    expect(host.page(pfn(0x10_0002))?.[9]).toBe(43);
    expect(hostRam.pagesTouched).toBe(0);
  });

  it('is absent between the mounts and where the mounted memory is absent', () => {
    expect(host.page(pfn(0x40))).toBeUndefined();
    expect(host.writablePage(pfn(0x10_0080))).toBeUndefined();
    const holes = createMountedMemory<Pfn>({
      mounts: [{ start: pfn(0), frames: 0x200, memory: guest, from: gfn(0) }],
    });
    expect(holes.page(pfn(0xff))?.[0]).toBe(0);
    expect(holes.page(pfn(0x100))).toBeUndefined();
  });

  it('translates frame numbers in both directions, by the memory that is meant', () => {
    expect(host.frameFor(guest, gfn(0x20))).toBe(0x10_0000);
    expect(host.frameFor(guest, gfn(0x9f))).toBe(0x10_007f);
    expect(host.frameFor(guest, gfn(0x1f))).toBeUndefined();
    expect(host.frameFor(guest, gfn(0xa0))).toBeUndefined();
    expect(host.frameIn(guest, pfn(0x10_0003))).toBe(0x23);
    expect(host.frameIn(hostRam, pfn(0x10_0003))).toBeUndefined();
    expect(host.frameIn(guest, pfn(0x50))).toBeUndefined();
    expect(host.mountAt(pfn(0x3f))?.memory).toBe(hostRam);
    expect(host.mountAt(pfn(0x41))).toBeUndefined();
    expect(host.mounts.map(({ start }) => start)).toEqual([0, 0x10_0000]);
  });

  it('finds every frame of random mounts where a search through all of them finds it', () => {
    const gaps = fc.array(
      fc.record({ gap: fc.nat(3), frames: fc.integer({ min: 1, max: 5 }), from: fc.nat(1000) }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(gaps, fc.array(fc.nat(100), { minLength: 1 }), (layout, frames) => {
        let end = 0;
        const mounts = layout.map(({ gap, frames: count, from }) => {
          const start = end + gap;
          end = start + count;
          return { start: pfn(start), frames: count, memory: numbered<Gfn>(), from: gfn(from) };
        });
        const memory = createMountedMemory<Pfn>({ mounts: [...mounts].reverse() });
        for (const frame of frames) {
          const mount = mounts.find(({ start, frames: count }) => frame >= start && frame < start + count);
          const expected = mount && mount.from + (frame - mount.start);
          expect(memory.page(pfn(frame))?.[0]).toBe(expected);
          expect(memory.writablePage(pfn(frame))?.[0]).toBe(expected);
          if (mount !== undefined) expect(memory.frameIn(mount.memory, pfn(frame))).toBe(expected);
        }
      }),
    );
  });

  it('refuses mounts that overlap, are empty or reach too far', () => {
    const mount = (start: number, frames: number, from: number) => ({
      start: start as Pfn,
      frames,
      memory: guest,
      from: from as Gfn,
    });
    const create = (...mounts: ReturnType<typeof mount>[]) => createMountedMemory<Pfn>({ mounts });
    expect(() => create(mount(0, 8, 0), mount(7, 1, 0))).toThrow(PhysicalMemoryError);
    expect(() => create(mount(0, 0, 0))).toThrow('not a range');
    expect(() => create(mount(FRAME_END - 1, 2, 0))).toThrow('not a range');
    expect(() => create(mount(0, 2, FRAME_END - 1))).toThrow('cannot mount 0x2 frames from 0xffffffffff on');
    expect(() => create(mount(0, 2, -1))).toThrow('cannot mount');
    expect(create().page(pfn(0))).toBeUndefined();
  });
});
