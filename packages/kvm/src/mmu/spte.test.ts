import type { Rights } from '@heki/hypervisor';
import type { U64 } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { nptSpteFormat } from './npt-spte.ts';
import { eptSpteFormat, type SpteFormat, type SpteRequest } from './spte.ts';

const BOTH = [false, true] as const;
const SWITCHES = Array.from({ length: 64 }, (_, bits) => (bit: number) => (bits & (1 << bit)) !== 0);

/** Every request that KVM can make: write and execute come with read. */
const REQUESTS: readonly SpteRequest[] = SWITCHES.flatMap((is): SpteRequest[] => {
  const rights = { read: is(0), write: is(1), supervisorExecute: is(2), userExecute: is(3) };
  const meant = rights.read || !(rights.write || rights.supervisorExecute || rights.userExecute);
  return meant ? [{ rights, writable: is(4), executable: is(5) }] : [];
});

const value = ({ low, high }: U64): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
const set = (entry: U64, bit: number): boolean => ((value(entry) >> BigInt(bit)) & 1n) === 1n;
const bits = (...numbers: (number | false)[]): bigint =>
  numbers.reduce<bigint>((sum, bit) => (bit === false ? sum : sum | (1n << BigInt(bit))), 0n);

/** What a leaf grants: no more than was asked for. */
function granted({ rights, writable, executable }: SpteRequest): Rights {
  return {
    read: rights.read,
    write: rights.write && writable,
    supervisorExecute: rights.supervisorExecute && executable,
    userExecute: rights.userExecute && executable,
  };
}

/** What holds for any format, whatever its bits are. */
function laws(format: SpteFormat, request: SpteRequest): void {
  const entry = format.make(request);
  const rights = format.rights(entry);
  const lasting = request.rights.write && request.writable;
  expect(format.rights(format.writeProtect(entry))).toEqual({ ...rights, write: false });
  expect(format.rights(format.makeWritable(entry)).write).toBe(lasting && rights.read);
  expect(format.makeWritable(format.writeProtect(format.makeWritable(entry)))).toEqual(
    format.makeWritable(entry),
  );
  const aged = format.age(entry);
  expect(format.age(aged)).toEqual(aged);
  // Write access comes back by the next store alone.
  const back = format.rights(format.restoreAge(aged));
  expect({ ...back, write: rights.write }).toEqual(rights);
  expect(back.write && !rights.write).toBe(false);
}

describe.each(BOTH)('an EPT leaf, mode-based execute control %s', (mbec) => {
  test.each(BOTH)('has the bits of spte.h, accessed and dirty flags %s', (accessedDirty) => {
    const format = eptSpteFormat(mbec, accessedDirty);
    for (const request of REQUESTS) {
      const { rights, writable, executable } = request;
      const lasting = rights.write && writable;
      const execute = mbec ? rights.supervisorExecute : rights.supervisorExecute || rights.userExecute;
      const entry = format.make(request);
      expect([request, value(entry)]).toEqual([
        request,
        bits(
          rights.read && 0,
          lasting && 1,
          executable && execute && 2,
          // WB, IPAT, accessed, and dirty with W.
          4,
          5,
          6,
          8,
          lasting && 9,
          mbec && executable && rights.userExecute && 10,
          // MMU-present, host-writable, MMU-writable, suppress-#VE.
          11,
          writable && 57,
          lasting && 58,
          63,
        ),
      ]);
      const wanted = granted(request);
      const shared = executable && execute;
      expect(format.rights(entry)).toEqual(
        mbec ? wanted : { ...wanted, supervisorExecute: shared, userExecute: shared },
      );
      laws(format, request);
    }
  });

  test('that is aged loses its accessed flag, or R, W and X, which it saves', () => {
    const [withFlags, without] = [eptSpteFormat(mbec, true), eptSpteFormat(mbec, false)];
    for (const request of REQUESTS) {
      const entry = withFlags.make(request);
      expect(value(withFlags.age(entry))).toBe(value(entry) & ~bits(8));
      const saved = bits(set(entry, 0) && 54, set(entry, 2) && 56);
      expect(value(without.age(entry))).toBe((value(entry) & ~bits(0, 1, 2)) | saved);
    }
  });
});

describe.each(BOTH)('a nested leaf, GMET %s', (gmet) => {
  test('has the bits of spte.h, and the user bit by GMET or by what the series takes it for', () => {
    for (const mbecParameter of BOTH) {
      const format = nptSpteFormat({ gmet, mbecParameter });
      for (const request of REQUESTS) {
        const { rights, writable, executable } = request;
        const lasting = rights.write && writable;
        const kernel = rights.supervisorExecute;
        const user = !(gmet && kernel) && !(mbecParameter && executable && !kernel);
        const entry = format.make(request);
        expect([request, value(entry)]).toEqual([
          request,
          bits(
            rights.read && 0,
            lasting && 1,
            user && 2,
            5,
            lasting && 6,
            writable && 9,
            lasting && 10,
            11,
            !(executable && (kernel || rights.userExecute)) && 63,
          ),
        ]);
        const reachable = rights.read && (gmet || user);
        const runs = reachable && executable && (kernel || rights.userExecute);
        expect(format.rights(entry)).toEqual({
          read: reachable,
          write: reachable && lasting,
          supervisorExecute: runs && !(gmet && user),
          userExecute: runs,
        });
        laws(format, request);
        expect(value(format.age(entry))).toBe(value(entry) & ~bits(5));
      }
    }
  });
});
