import { describe, expect, it, test } from 'vitest';
import { VmcoreError } from '../../error.ts';
import { buildCore, type CoreParts, qemuNote } from '../../testing/build-core.ts';
import { readVmcore } from '../../vmcore.ts';

const PAGE = new Uint8Array(4096);
/** Where the second program header, the first PT_LOAD, begins. */
const LOAD = 64 + 56;

/** The error of a core after `change`. */
function errorOf(change: (view: DataView) => void, parts: CoreParts = {}): VmcoreError {
  const bytes = buildCore({ notes: [qemuNote()], loads: [{ address: 0x1000, bytes: PAGE }], ...parts });
  change(new DataView(bytes.buffer));
  return errorOfBytes(bytes);
}

function errorOfBytes(bytes: Uint8Array): VmcoreError {
  try {
    readVmcore(bytes);
  } catch (error) {
    if (error instanceof VmcoreError) return error;
    throw error;
  }
  throw new Error('no error');
}

describe('the header that QEMU 7.2 writes', () => {
  it('gives the size of a pointer for its own, and is read all the same', () => {
    const parts = { notes: [qemuNote()], loads: [{ address: 0x1000, bytes: PAGE }] };
    const core = buildCore(parts);
    new DataView(core.buffer).setUint16(52, 8, true);
    expect(readVmcore(core).segments).toEqual(readVmcore(buildCore(parts)).segments);
  });
});

describe('a damaged ELF header', () => {
  it.each([
    [4, 1, "EI_CLASS is 1: expected 2, 64-bit: write this machine's core with 64-bit headers"],
    [5, 2, 'EI_DATA is 2: expected 1, little-endian'],
    [
      16,
      2,
      'e_type is 2: expected 4, a core file: this is a program or a kernel image (vmlinux), and no memory',
    ],
    [18, 183, 'e_machine is 183: expected 62, x86-64: this is of an AArch64 machine'],
    [52, 63, 'e_ehsize is 63'],
    [54, 0, 'e_phentsize is 0: expected 56'],
    [56, 0, 'e_phnum is 0'],
  ])('at offset %i is refused there', (offset, value, message) => {
    const error = errorOf((view) => view.setUint8(offset, value));
    expect(error.message).toContain(message);
    expect(error.offset).toBe(offset);
    expect(error.message).toContain(`at file offset 0x${offset.toString(16)}`);
  });

  it.each([
    [1, 1, 3, 'EI_CLASS is 1: expected 2, 64-bit: this is of a 32-bit x86 machine'],
    [1, 1, 40, 'EI_CLASS is 1: expected 2, 64-bit: this is of a 32-bit Arm machine'],
    [2, 2, 22, 'EI_DATA is 2: expected 1, little-endian: this is of an IBM Z machine'],
    [2, 2, 21, 'EI_DATA is 2: expected 1, little-endian: this is of a PowerPC machine'],
    [2, 2, 183, 'EI_DATA is 2: expected 1, little-endian: this is of an AArch64 machine'],
  ])('of class %i, data %i and machine %i is named for its machine', (kind, data, machine, message) => {
    const error = errorOf((view) => {
      view.setUint8(4, kind);
      view.setUint8(5, data);
      view.setUint16(18, machine, data === 1);
    });
    expect(error.message).toContain(message);
  });

  it('that is cut short is refused where the file ends', () => {
    const whole = buildCore({});
    expect(errorOfBytes(whole.subarray(0, 3)).message).toContain('no memory dump');
    for (const length of [4, 16, 63])
      expect(errorOfBytes(whole.subarray(0, length)).message).toContain('truncated');
  });

  it('with program headers outside the file is refused', () => {
    const expectRefused = (value: bigint) => {
      const error = errorOf((view) => view.setBigUint64(32, value, true));
      expect(error.message).toContain('e_phoff');
      expect(error.offset).toBe(32);
    };
    for (const value of [0n, 63n, 2n ** 64n - 1n, 2n ** 53n, 0x1000n * 3n]) expectRefused(value);
    expect(errorOf((view) => view.setUint16(56, 0xfffe, true)).message).toContain('65534 program headers');
  });

  it('with 65,535 program headers and no section header to count them is refused', () => {
    const error = errorOf((view) => view.setUint16(56, 0xffff, true));
    expect(error.message).toContain('e_phnum is 0xffff');
    expect(error.offset).toBe(40);
    const extended = { extended: true };
    expect(errorOf((view) => view.setBigUint64(40, 2n ** 63n, true), extended).message).toContain('e_shoff');
    expect(errorOf((view) => view.setUint16(58, 40, true), extended).message).toContain('e_shentsize 40');
  });

  it('with an absurd count in section header 0 is refused without reading as many', () => {
    const countAt = 64 + 2 * 56 + 44;
    const error = errorOf((view) => view.setUint32(countAt, 0xffffffff, true), { extended: true });
    expect(error.message).toContain('4294967295 program headers: expected at most 262144');
    expect(errorOf((view) => view.setUint32(countAt, 0, true), { extended: true }).message).toContain(
      'e_phnum is 0',
    );
  });
});

describe('a damaged program header', () => {
  it('whose bytes lie outside the file is refused', () => {
    const cases: [number, bigint][] = [
      [8, 2n ** 64n - 1n],
      [32, 2n ** 64n - 1n],
    ];
    for (const [field, value] of cases) {
      const error = errorOf((view) => view.setBigUint64(LOAD + field, value, true));
      expect(error.message).toContain('program header 1 (PT_LOAD)');
      expect(error.message).toContain('but the file ends at');
      expect(error.offset).toBe(LOAD + 8);
    }
  });

  it('with less memory than file is refused', () => {
    const error = errorOf((view) => view.setBigUint64(LOAD + 40, 4095n, true));
    expect(error.message).toContain('p_memsz 0xfff below p_filesz 0x1000');
    expect(error.offset).toBe(LOAD + 40);
  });

  it('whose alignment is not a power of two is refused', () => {
    const error = errorOf((view) => view.setBigUint64(LOAD + 48, 0x3000n, true));
    expect(error.message).toContain('p_align 0x3000');
    expect(error.offset).toBe(LOAD + 48);
  });

  it('that reaches beyond 52 bits is refused, however large its memory', () => {
    const beyond = errorOf((view) => view.setBigUint64(LOAD + 24, 2n ** 52n - 4095n, true));
    expect(beyond.message).toContain('reaches beyond 52 bits');
    expect(beyond.offset).toBe(LOAD + 24);
    expect(errorOf((view) => view.setBigUint64(LOAD + 40, 2n ** 64n - 1n, true)).message).toContain(
      '52 bits',
    );
    expect(errorOf((view) => view.setBigUint64(LOAD + 24, 2n ** 64n - 4096n, true)).message).toContain(
      '52 bits',
    );
  });
});

test('a PT_LOAD of no memory is none, wherever it says that it is', () => {
  const core = buildCore({
    notes: [qemuNote()],
    loads: [
      { address: 0x1000, bytes: PAGE },
      { address: 0x2000, bytes: PAGE },
    ],
  });
  const view = new DataView(core.buffer);
  view.setBigUint64(LOAD + 24, 2n ** 64n - 1n, true);
  for (const size of [32, 40]) view.setBigUint64(LOAD + size, 0n, true);
  expect(readVmcore(core).segments).toMatchObject([{ start: 0x2000, end: 0x3000 }]);
});

describe('damaged notes', () => {
  const NOTES = 64 + 2 * 56;

  it('that overrun their segment are refused where they begin', () => {
    for (const field of [0, 4]) {
      for (const value of [0xffffffff, 0x80000000, 1000]) {
        const error = errorOf((view) => view.setUint32(NOTES + field, value, true));
        expect(error.message).toContain('overruns the notes by');
        expect(error.offset).toBe(NOTES);
      }
    }
    const cut = errorOf((view) => {
      view.setBigUint64(64 + 32, 11n, true);
      view.setBigUint64(64 + 40, 11n, true);
    });
    expect(cut.message).toContain('header of 12 bytes overruns the notes by 1');
  });

  it('of QEMU with another version or size are refused', () => {
    const descriptor = NOTES + 12 + 8;
    expect(errorOf((view) => view.setUint32(descriptor, 2, true)).message).toContain('version 2: expected 1');
    const size = errorOf((view) => view.setUint32(descriptor + 4, 441, true));
    expect(size.message).toContain('says it has 441 bytes: expected 432 to 440');
    expect(size.offset).toBe(descriptor + 4);
    expect(errorOf((view) => view.setUint32(descriptor + 4, 431, true)).message).toContain('431 bytes');
    const short = { notes: [{ name: 'QEMU', descriptor: new Uint8Array(431) }] };
    expect(errorOf(() => {}, short).message).toContain('QEMU note of 431 bytes: expected at least 432');
  });

  it('of PRSTATUS that are too short are refused', () => {
    const notes = [{ name: 'CORE', type: 1, descriptor: new Uint8Array(335) }];
    expect(errorOf(() => {}, { notes }).message).toContain('PRSTATUS note of 335 bytes: expected 336');
  });

  it('end where nothing but zeros is left, however many', () => {
    const notes = [qemuNote(), { name: 'PADDING', descriptor: new Uint8Array(30) }];
    const bytes = buildCore({ notes, loads: [{ address: 0x1000, bytes: PAGE }] });
    const padding = NOTES + 12 + 8 + 440;
    for (const kept of [0, 1, 11, 12]) {
      const padded = bytes.slice();
      padded.fill(0, padding);
      new DataView(padded.buffer).setBigUint64(64 + 32, BigInt(padding - NOTES + kept), true);
      expect(readVmcore(padded).notes.map(({ name }) => name)).toEqual(['QEMU']);
    }
  });

  it('that are more than 65,536 are refused', () => {
    const empty = (count: number) =>
      Array.from({ length: count }, () => ({ name: '', descriptor: new Uint8Array() }));
    expect(readVmcore(buildCore({ notes: empty(65_536) })).notes.length).toBe(65_536);
    const error = errorOf(() => {}, { notes: empty(65_537) });
    expect(error.message).toContain('more than 65536 notes');
    expect(error.offset).toBe(NOTES + 65_536 * 16);
  });

  it('that take more than 16 MiB are refused unread', () => {
    const notes = [{ name: 'X', descriptor: new Uint8Array(2 ** 24) }];
    expect(errorOf(() => {}, { notes }).message).toContain('bytes of notes: expected at most 16777216');
  });
});
