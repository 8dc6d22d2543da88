import { decodePageList, forEachRange, permissionText } from '@heki/hypercall/kvm';
import { type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { findDirectMap } from './address-space.ts';
import { createHekiGuest } from './index.ts';
import { fixtureNames, readFixture } from './testing/fixture.ts';
import { createTestKernel } from './testing/test-kernel.ts';

const IMMUTABLE = 8;

/** Runs both inits over a real kernel's tables; the permissions that were sent, by frame. */
function protectedFrames(name: string) {
  const fixture = readFixture(name);
  const kernel = createTestKernel(fixture);
  const sent = new Map<number, number>();
  const guest = createHekiGuest({
    kernel,
    config: { RANDOMIZE_BASE: true, JUMP_LABEL: true },
    hypervisor: {
      lockCrs: () => 0,
      protectMemory(list) {
        const decoded = decodePageList({ memory: kernel.listMemory, list: BigInt(list) });
        if (!decoded.ok) return -22;
        forEachRange(decoded.pages, (start, end, permissions) => {
          for (let frame: number = start; frame < end; frame++) sent.set(frame, permissions);
        });
        return 0;
      },
    },
  });
  expect(guest.earlyInit().outcome).toBe('counting');
  expect(guest.lateInit()).toEqual({ outcome: 'protected' });
  return { fixture, guest, sent };
}

describe.each(fixtureNames)('the hardened core in the real kernel %s', (name) => {
  const { fixture, guest, sent } = protectedFrames(name);

  test('finds the direct map where the kernel has put it', () => {
    const { memory, root, levels } = fixture.tables;
    const found = findDirectMap({ memory, root, levels });
    expect(`0x${virtualAddressOf(found?.start ?? (0 as VirtualFrame)).toString(16)}`).toBe(
      fixture.pageOffsetBase,
    );
    expect(guest.directMap).toEqual(found);
  });

  test('asks for each page what another walker found over all its mappings', () => {
    const expected = new Map<number, string>();
    for (const { start, end, letters } of fixture.ranges) {
      for (let frame = start; frame < end; frame++) if (sent.has(frame)) expected.set(frame, letters);
    }
    const got = new Map([...sent].map(([frame, permissions]) => [frame, permissionText(permissions)]));
    const wrong = [...got].filter(([frame, letters]) => expected.get(frame) !== letters);
    expect(wrong).toEqual([]);
    expect(sent.size).toBeGreaterThan(60_000);
  });

  test('asks for every page of the direct map that is memory, immutable unless writable', () => {
    const { start, end } = guest.directMap;
    const mapped = new Set<number>();
    walkMappings(fixture.tables, start, end, ({ guestFrame, frames }) => {
      for (let frame: number = guestFrame; frame < guestFrame + frames; frame++) {
        if (frame < (fixture.validFrames[0]?.end ?? 0)) mapped.add(frame);
      }
    });
    expect([...sent.keys()].sort((a, b) => a - b)).toEqual([...mapped].sort((a, b) => a - b));
    const wrong = [...sent.values()].filter(
      (permissions) => ((permissions & 2) === 0) !== ((permissions & IMMUTABLE) !== 0),
    );
    expect(wrong).toEqual([]);
  });
});
