import { decodePageList, forEachRange } from '@heki/hypercall/kvm';
import { virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createHekiGuest } from '../index.ts';
import { fixtureNames, readFixture } from '../testing/fixture.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

const WRITE = 2;
const IMMUTABLE = 8;

/** Runs both inits over a real kernel's tables; what was sent for each frame of memory, 0 for nothing. */
function protectKernel(name: string) {
  const fixture = readFixture(name);
  const directMapAt = virtualFrameOf(virtualAddress(BigInt(fixture.pageOffsetBase)));
  const kernel = createTestKernel({ ...fixture, directMapAt });
  const sent = new Uint8Array(fixture.validFrames[0]?.end ?? 0);
  const guest = createHekiGuest({
    kernel,
    config: { RANDOMIZE_BASE: true, JUMP_LABEL: true },
    hypervisor: {
      lockCrs: () => 0,
      protectMemory(list) {
        const decoded = decodePageList({ memory: kernel.listMemory, list: BigInt(list) });
        if (!decoded.ok) return -22;
        forEachRange(decoded.pages, (start, end, permissions) => sent.fill(permissions, start, end));
        return 0;
      },
    },
  });
  expect(guest.earlyInit().outcome).toBe('counting');
  expect(guest.lateInit()).toEqual({ outcome: 'protected' });
  return { fixture, guest, sent };
}

/** Frames at which two arrays differ, at most ten. */
function differences(got: Uint8Array, expected: Uint8Array): object[] {
  const found: object[] = [];
  for (let frame = 0; frame < got.length && found.length < 10; frame++) {
    if (got[frame] !== expected[frame]) found.push({ frame, got: got[frame], expected: expected[frame] });
  }
  return found;
}

describe.each(fixtureNames)('the hardened core in the real kernel %s', (name) => {
  const { fixture, guest, sent } = protectKernel(name);

  test('asks for every page of RAM what another walker found over all its mappings', () => {
    const expected = new Uint8Array(sent.length);
    const union = new Uint8Array(sent.length);
    for (const { start, end, letters } of fixture.ranges) {
      const permissions = 1 + (letters[1] === 'w' ? 2 : 0) + (letters[2] === 'x' ? 4 : 0);
      union.fill((permissions & WRITE) === 0 ? permissions | IMMUTABLE : permissions, start, end);
    }
    const { start, end } = guest.directMap;
    walkMappings(fixture.tables, start, end, ({ guestFrame, frames }) => {
      expected.set(union.subarray(guestFrame, guestFrame + frames), guestFrame);
    });
    for (const ram of fixture.ramFrames) expected.set(union.subarray(ram.start, ram.end), ram.start);
    expect(differences(sent, expected)).toEqual([]);
    expect(sent.filter((permissions) => permissions !== 0).length).toBeGreaterThan(60_000);
  });
});
