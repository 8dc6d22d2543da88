import { createRam, type Gfn, type Gpa, gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeHvControl,
  decodeHvResult,
  encodeHvControl,
  encodeHvResult,
  hvStatusText,
} from './hypercall.ts';
import {
  decodeHvIntercept,
  encodeHvIntercept,
  HV_MESSAGE_SIZE,
  type HvInterceptMessage,
} from './intercept-message.ts';
import {
  decodeLvbsRanges,
  decodeLvbsTextPatch,
  encodeLvbsRanges,
  encodeLvbsTextPatch,
  LVBS_TEXT_PATCH_SIZE,
  type LvbsRange,
  mapFlagsOfAttributes,
} from './lvbs.ts';
import { decodeHvModifyProtection, encodeHvModifyProtection } from './protection-mask.ts';
import {
  decodeHvGetRegisters,
  decodeHvPendingException,
  decodeHvSetRegisters,
  encodeHvGetRegisters,
  encodeHvPendingException,
  encodeHvSetRegisters,
  HV_MOST_REGISTERS_GET,
  HV_MOST_REGISTERS_SET,
} from './register.ts';
import {
  decodeHvEnablePartitionVtl,
  decodeHvEnableVpVtl,
  encodeHvEnablePartitionVtl,
  encodeHvEnableVpVtl,
} from './vtl.ts';

const bits = (count: number) => fc.bigInt({ min: 0n, max: (1n << BigInt(count)) - 1n });
const u64 = bits(64);
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const below = (end: number) => fc.integer({ min: 0, max: end - 1 });
const vtl = fc.option(below(3), { nil: undefined });

test('registers are read and written as many at a time as an input page holds', () => {
  const page = new Uint8Array(4096);
  const decoders = [
    [decodeHvGetRegisters, HV_MOST_REGISTERS_GET],
    [decodeHvSetRegisters, HV_MOST_REGISTERS_SET],
  ] as const;
  for (const [decode, most] of decoders) {
    for (const count of [1, most]) expect(decode(page, count).ok).toBe(true);
    for (const [count, found] of [
      [0, 0n],
      [-1, 0n],
      [Number.NaN, 0n],
      [most + 1, BigInt(most + 1)],
    ] as const) {
      const decoded = decode(page, count);
      expect(decoded.ok ? undefined : decoded.fault).toEqual({
        field: 'rep count',
        found,
        expected: `1 to ${most}`,
      });
    }
  }
});

test('a list of ranges ends with its last page, and is read up to as many pages as allowed', () => {
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(8) }] });
  const ranges = Array.from({ length: 128 }, (_, i): LvbsRange => {
    return { va: 0n, pa: (i * 8192) as Gpa, epa: (i * 8192 + 4096) as Gpa, attributes: 1 };
  });
  // What lay in the pages before is not part of the list.
  memory.writablePage(gfn(3))?.fill(0xffff_ffff);
  const first = BigInt(encodeLvbsRanges({ memory, frames: [gfn(2), gfn(3), gfn(4)], ranges }) ?? 0);
  expect(decodeLvbsRanges({ memory, first, total: 128n, mostPages: 2 })).toEqual({
    ok: true,
    message: ranges,
  });
  // The first page says that it has one range.
  const words = memory.writablePage(gfn(2));
  if (words !== undefined) words[4] = 1;
  expect(decodeLvbsRanges({ memory, first, total: 2n, mostPages: 1 })).toEqual({
    ok: false,
    fault: { field: 'pages', found: 2n, expected: 'at most 1' },
  });
});

test('the second page of a patch lies below 2^52', () => {
  const decoded = (second: bigint) => {
    const bytes = encodeLvbsTextPatch({
      pa: 0x1fff as Gpa,
      secondPa: 0x3000 as Gpa,
      bytes: Uint8Array.of(1, 2),
    });
    new DataView(bytes.buffer).setBigUint64(8, second, true);
    return decodeLvbsTextPatch(bytes).ok;
  };
  expect([decoded((1n << 52n) - 4096n), decoded(1n << 52n), decoded(0x3001n), decoded(0n)]).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

test('a control word has its fields where the TLFS puts them, and no reserved bit', () => {
  expect(encodeHvControl({ code: 0x0c, repCount: 510, repStart: 3 })).toBe(0x0003_01fe_0000_000cn);
  expect(encodeHvControl({ code: 0x11, fast: true, variableHeader: 1, nested: true })).toBe(0x8003_0011n);
  for (const bit of [27n, 30n, 44n, 47n, 60n, 63n]) expect(decodeHvControl(1n << bit)).toBeUndefined();
  fc.assert(
    fc.property(
      fc.record({
        code: below(0x1_0000),
        fast: fc.boolean(),
        variableHeader: below(1024),
        nested: fc.boolean(),
        repCount: below(4096),
        repStart: below(4096),
      }),
      (control) => {
        expect(decodeHvControl(encodeHvControl(control))).toEqual(control);
      },
    ),
  );
});

test('a result keeps the elements that were done beside an error', () => {
  expect(encodeHvResult({ status: 5, repsCompleted: 7 })).toBe(0x7_0000_0005n);
  fc.assert(
    fc.property(below(0x1_0000), below(4096), (status, repsCompleted) => {
      expect(decodeHvResult(encodeHvResult({ status, repsCompleted }))).toEqual({ status, repsCompleted });
    }),
  );
  expect(hvStatusText(134)).toBe('HV_STATUS_VTL_ALREADY_ENABLED');
  expect(hvStatusText(999)).toBe('999');
});

test('protection masks, registers and VTL calls read back as they were written', () => {
  fc.assert(
    fc.property(
      u64,
      u32,
      vtl,
      fc.array(fc.maxSafeNat(), { minLength: 1, maxLength: 510 }),
      (partition, flags, targetVtl, pages) => {
        const input = { partition, flags, targetVtl, pages: Float64Array.from(pages) };
        expect(decodeHvModifyProtection(encodeHvModifyProtection(input), pages.length)).toEqual({
          ok: true,
          message: input,
        });
      },
    ),
    { numRuns: 40 },
  );
  fc.assert(
    fc.property(
      u64,
      u32,
      vtl,
      fc.array(fc.tuple(u32, bits(128)), { minLength: 1, maxLength: 9 }),
      (partition, vp, vtl, list) => {
        const target = { partition, vp, vtl };
        const names = list.map(([name]) => name);
        const values = list.map(([name, value]) => ({ name, value }));
        expect(decodeHvGetRegisters(encodeHvGetRegisters({ ...target, names }), names.length)).toEqual({
          ok: true,
          message: { ...target, names },
        });
        expect(decodeHvSetRegisters(encodeHvSetRegisters({ ...target, values }), values.length)).toEqual({
          ok: true,
          message: { ...target, values },
        });
      },
    ),
  );
  fc.assert(
    fc.property(u64, u32, below(256), fc.boolean(), (partition, vp, vtl, mbec) => {
      expect(decodeHvEnablePartitionVtl(encodeHvEnablePartitionVtl({ partition, vtl, mbec }))).toEqual({
        ok: true,
        message: { partition, vtl, mbec },
      });
      expect(decodeHvEnableVpVtl(encodeHvEnableVpVtl({ partition, vp, vtl }))).toEqual({
        ok: true,
        message: { partition, vp, vtl },
      });
    }),
  );
  const exception = { vector: 14, errorCode: 3, parameter: 0xffff_8880_0000_0000n };
  expect(decodeHvPendingException(encodeHvPendingException(exception))).toEqual(exception);
  expect(decodeHvPendingException(0n)).toBeUndefined();
});

test('an input names a VTL up to 2 or none, whatever is beside a number that does not count', () => {
  const protection = encodeHvModifyProtection({ partition: 0n, flags: 1, targetVtl: 0, pages: [1] });
  const registers = encodeHvGetRegisters({ partition: 0n, vp: 0, vtl: 0, names: [1] });
  for (let byte = 0; byte < 256; byte++) {
    protection[12] = byte;
    registers[12] = byte;
    const expected = byte < 0x10 ? [undefined] : byte < 0x13 ? [byte - 0x10] : [];
    const one = decodeHvModifyProtection(protection, 1);
    const other = decodeHvGetRegisters(registers, 1);
    expect([byte, one.ok ? [one.message.targetVtl] : []]).toEqual([byte, expected]);
    expect([byte, other.ok ? [other.message.vtl] : []]).toEqual([byte, expected]);
  }
});

test('an input page holds 510 page numbers and no more', () => {
  const input = { partition: 0n, flags: 1, targetVtl: undefined, pages: [1] };
  for (const count of [0, 2, 511, 4095, -1, Number.NaN]) {
    expect(decodeHvModifyProtection(encodeHvModifyProtection(input), count).ok).toBe(false);
  }
});

test('a page number of 64 bits is one that no memory has, and never a smaller one', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), (page) => {
      const bytes = encodeHvModifyProtection({ partition: 0n, flags: 1, targetVtl: undefined, pages: [0] });
      new DataView(bytes.buffer).setBigUint64(16, page, true);
      const decoded = decodeHvModifyProtection(bytes, 1);
      expect(decoded.ok && (decoded.message.pages[0] ?? 0)).toBeGreaterThanOrEqual(2 ** 53);
    }),
  );
});

const header = {
  vp: u32,
  instructionLength: below(16),
  access: fc.constantFrom(0 as const, 1 as const, 2 as const),
  cpl: fc.constantFrom(0 as const, 3 as const),
  rip: u64,
  rflags: u64,
};
const message: fc.Arbitrary<HvInterceptMessage> = fc.oneof(
  fc.record({
    ...header,
    type: fc.constant('gpa' as const),
    gpa: u64,
    gva: fc.option(u64, { nil: undefined }),
    final: fc.boolean(),
  }),
  fc.record({ ...header, type: fc.constant('msr' as const), msr: u32, value: u64 }),
  fc.record({ ...header, type: fc.constant('register' as const), register: u32, value: bits(128) }),
);

test('intercept messages read back as they were written', () => {
  fc.assert(
    fc.property(message, (sent) => {
      expect(decodeHvIntercept(encodeHvIntercept(sent))).toEqual({ ok: true, message: sent });
    }),
  );
});

test('no bytes make a decoder throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: HV_MESSAGE_SIZE + 8 }), below(4096), (bytes, count) => {
      for (const decoded of [
        decodeHvModifyProtection(bytes, count),
        decodeHvGetRegisters(bytes, count),
        decodeHvSetRegisters(bytes, count),
        decodeHvEnablePartitionVtl(bytes),
        decodeHvEnableVpVtl(bytes),
        decodeHvIntercept(bytes),
        decodeLvbsTextPatch(bytes),
      ]) {
        if (!decoded.ok) expect(decoded.fault.expected).not.toBe('');
      }
    }),
    { numRuns: 300 },
  );
});

const ram = () => createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(16) }] });
const range = fc.tuple(u64, below(2 ** 40), fc.integer({ min: 1, max: 2 ** 30 }), below(16)).map(
  ([va, pa, length, attributes]): LvbsRange => ({
    va,
    pa: pa as Gpa,
    epa: (pa + length) as Gpa,
    attributes,
  }),
);

test('ranges come back in their order, 127 to a page', () => {
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 400 }), (ranges) => {
      const memory = ram();
      const first = encodeLvbsRanges({ memory, frames: [5, 3, 9, 2].map(gfn), ranges });
      expect(first).toBe(0x5000);
      expect(memory.page(gfn(5))?.[4]).toBe(Math.min(127, ranges.length));
      const decoded = decodeLvbsRanges({ memory, first: BigInt(first ?? 0), total: BigInt(ranges.length) });
      expect(decoded).toEqual({ ok: true, message: ranges });
    }),
    { numRuns: 30 },
  );
  expect(
    encodeLvbsRanges({
      memory: ram(),
      frames: [],
      ranges: [{ va: 0n, pa: 0 as Gpa, epa: 1 as Gpa, attributes: 1 }],
    }),
  ).toBeUndefined();
  expect(encodeLvbsRanges({ memory: ram(), frames: [], ranges: [] })).toBe(0);
});

test('lists that lead in circles, lie about their length or go nowhere are refused', () => {
  const memory = ram();
  const good = { va: 0n, pa: 0x1000 as Gpa, epa: 0x2000 as Gpa, attributes: 5 };
  const read = (first: bigint, total = 1n) => decodeLvbsRanges({ memory, first, total });
  const write = (change: (page: Uint32Array) => void) => {
    encodeLvbsRanges({ memory, frames: [gfn(5)], ranges: [good] });
    const page = memory.writablePage(gfn(5));
    if (page !== undefined) change(page);
    return read(0x5000n);
  };
  expect(write(() => {}).ok).toBe(true);
  const fieldOf = (result: ReturnType<typeof read>) => (result.ok ? 'none' : result.fault.field);
  const empty = write((page) => {
    page[4] = 0;
    page[2] = 0x5000;
  });
  expect(fieldOf(empty)).toBe('nranges');
  expect(fieldOf(write((page) => page.set([0x5000], 2)))).toBe('page address');
  expect(fieldOf(write((page) => page.set([128], 4)))).toBe('nranges');
  expect(fieldOf(write((page) => page.set([0x10_0000], 2)))).toBe('page address');
  expect(fieldOf(write((page) => page.set([0x1000], 10)))).toBe('range');
  expect(fieldOf(write((page) => page.set([16], 12)))).toBe('attributes');
  for (const first of [8n, 1n << 60n, 0x10_0000n, 0n]) expect(read(first).ok).toBe(false);
  for (const total of [0n, 2n, 1n << 63n]) expect(fieldOf(read(0x5000n, total))).not.toBe('none');
  fc.assert(
    fc.property(fc.array(u32, { minLength: 14, maxLength: 30 }), u64, (words, total) => {
      memory.writablePage(gfn(7))?.set(words);
      expect(typeof decodeLvbsRanges({ memory, first: 0x7000n, total }).ok).toBe('boolean');
    }),
  );
});

test('user code may execute whatever can be read', () => {
  expect([1, 3, 5, 7, 4, 0].map(mapFlagsOfAttributes)).toEqual([9, 11, 13, 15, 12, 0]);
});

test('a text patch straddles exactly when it has a second address', () => {
  const bytes = Uint8Array.of(0xe9, 1, 2, 3, 4);
  for (const [pa, secondPa, legal] of [
    [0x1ffb, 0, true],
    [0x1ffc, 0, false],
    [0x1ffc, 0x5000, true],
    [0x1ffc, 0x5001, false],
    [0x1000, 0x5000, false],
  ] as const) {
    const encoded = encodeLvbsTextPatch({ pa: pa as Gpa, secondPa: secondPa as Gpa, bytes });
    expect(encoded).toHaveLength(LVBS_TEXT_PATCH_SIZE);
    const decoded = decodeLvbsTextPatch(encoded);
    expect(decoded.ok).toBe(legal);
    if (decoded.ok) expect(decoded.message).toEqual({ pa, secondPa, bytes });
  }
  const empty = encodeLvbsTextPatch({ pa: 0 as Gpa, secondPa: 0 as Gpa, bytes: new Uint8Array() });
  expect(decodeLvbsTextPatch(empty).ok).toBe(false);
});
