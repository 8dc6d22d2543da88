import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { CR4, EFER } from '../registers/control-registers.ts';
import { AMD_ZEN4, CPU_PROFILES, INTEL_HASWELL, INTEL_VT_RP, QEMU64 } from '../registers/cpu-profiles.ts';
import { writeCr0, writeCr3, writeCr4, writeEfer } from '../registers/register-write.ts';
import { pagingRegisters } from '../registers/registers.ts';
import { deriveProcessor } from './derive-processor.ts';

const TABLES = { addressBits: 28, gigabyteLeaves: false };
const LINUX = pagingRegisters({ cr3: 0x5a6_6000n, cr4: 0x75_0eb0n, efer: 0xd01n });

describe('bits that are set in a dump', () => {
  const anyBits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const registers = fc
    .record({ cr4: anyBits, efer: anyBits })
    // In 64-bit mode, without which there is no dump of a 64-bit kernel.
    .map(({ cr4, efer }) => ({ ...LINUX, cr4: cr4 | CR4.PAE, efer: efer | EFER.LME | EFER.LMA }));

  test('do not make a write refused that leaves them as they are', () => {
    const name = fc.option(fc.constantFrom(...CPU_PROFILES), { nil: undefined });
    fc.assert(
      fc.property(registers, name, (state, named) => {
        const { cpu } = deriveProcessor({ registers: state, tables: TABLES }, named);
        const writes = [
          writeCr4(state, state.cr4, cpu),
          writeCr4({ ...state, cr4: state.cr4 | CR4.SMEP }, state.cr4 & ~CR4.SMEP, cpu),
          writeCr4(state, state.cr4 ^ CR4.TSD, cpu),
          writeEfer(state, state.efer, cpu),
          writeEfer(state, state.efer ^ EFER.SCE, cpu),
          writeCr0(state, state.cr0),
          writeCr3(state, state.cr3, cpu),
        ];
        expect(writes.map(({ kind }) => kind)).toEqual(writes.map(() => 'ok'));
      }),
    );
  });

  test.each([...Array(64).keys()].filter((bit) => bit !== 12))(
    'bit %i of CR4: SMEP can still be cleared',
    (bit) => {
      const state = { ...LINUX, cr4: LINUX.cr4 | CR4.SMEP | (1n << BigInt(bit)) };
      const { cpu } = deriveProcessor({ registers: state, tables: TABLES });
      expect(writeCr4(state, state.cr4 & ~CR4.SMEP, cpu).kind).toBe('ok');
    },
  );
});

describe('the vendor', () => {
  it.each([
    [0n, EFER.SVME, AMD_ZEN4, ['EFER.SVME']],
    [0n, EFER.AIBRSE | EFER.TCE, AMD_ZEN4, ['EFER.TCE', 'EFER.AIBRSE']],
    [CR4.VMXE | CR4.LASS, 0n, INTEL_VT_RP, ['CR4.VMXE', 'CR4.LASS']],
    [CR4.CET | CR4.FRED | CR4.PKE, 0n, INTEL_VT_RP, []],
    [CR4.FRED, EFER.FFXSR, AMD_ZEN4, ['EFER.FFXSR']],
    // No processor has both: what is usual is taken, and what it lacks is told.
    [CR4.SMXE, EFER.SVME, INTEL_VT_RP, ['CR4.SMXE']],
  ])('of CR4 bits %x and EFER bits %x is that of the processors that have them', (cr4, efer, base, bits) => {
    const registers = { cr4: LINUX.cr4 | cr4, efer: LINUX.efer | efer };
    const { cpu, vendorBits } = deriveProcessor({ registers, tables: TABLES });
    expect([cpu.name, cpu.vendor, vendorBits]).toEqual([base.name, base.vendor, bits]);
  });

  it('is AMD where memory is encrypted', () => {
    const { cpu, vendorBits } = deriveProcessor({
      registers: LINUX,
      tables: TABLES,
      encryptionBit: 51,
    });
    expect([cpu.vendor, vendorBits]).toEqual(['amd', ['memory encryption']]);
    expect([cpu.encryptionBit, cpu.maxPhysicalAddressBits]).toEqual([51, 48]);
    const intel = deriveProcessor({ registers: LINUX, tables: TABLES, encryptionBit: 51 }, INTEL_HASWELL);
    expect(intel.lacking).toContain('memory encryption');
    expect(intel.cpu.encryptionBit).toBe(51);
  });

  it('leaves fewer address bits where the C-bit is one of them', () => {
    const bits = (addressBits: number) =>
      deriveProcessor({ registers: LINUX, tables: { ...TABLES, addressBits }, encryptionBit: 43 }).cpu
        .maxPhysicalAddressBits;
    expect([bits(30), bits(46)]).toEqual([43, 46]);
  });
});

describe('what the base profile lacks', () => {
  it('is nothing for a guest that the default could run', () => {
    const { cpu, lacking } = deriveProcessor({ registers: LINUX, tables: TABLES });
    expect([cpu, lacking]).toEqual([INTEL_VT_RP, []]);
  });

  it('is added by name, bits without a name as a mask', () => {
    const registers = { ...LINUX, cr4: LINUX.cr4 | CR4.VMXE | (1n << 29n) | (1n << 63n) };
    const tables = { ...TABLES, addressBits: 51 };
    const { cpu, lacking } = deriveProcessor({ registers, tables });
    expect(lacking).toEqual(['CR4.VMXE', 'CR4 bits 0x8000000020000000', '51 physical-address bits']);
    expect(cpu.maxPhysicalAddressBits).toBe(51);
  });

  it('of a named profile is a contradiction: registers are believed, tables are left to the profile', () => {
    const tables = { ...TABLES, addressBits: 47, gigabyteLeaves: true };
    const evidence = { registers: LINUX, tables };
    const { cpu, lacking } = deriveProcessor(evidence, QEMU64);
    expect(cpu).toEqual({ ...QEMU64, cr4: QEMU64.cr4 | LINUX.cr4 });
    expect(lacking).toEqual([
      'CR4.UMIP',
      'CR4.FSGSBASE',
      'CR4.OSXSAVE',
      'CR4.SMEP',
      'CR4.SMAP',
      'CR4.PKE',
      '1-GiB pages',
      '47 physical-address bits',
    ]);
    expect(deriveProcessor(evidence, INTEL_HASWELL).lacking).not.toContain('CR4.SMEP');
    const lacks = (gigabyteLeaves: boolean, gigabytePages: boolean) =>
      deriveProcessor(
        { registers: LINUX, tables: { ...TABLES, gigabyteLeaves } },
        { ...QEMU64, gigabytePages },
      ).lacking.includes('1-GiB pages');
    expect([lacks(true, false), lacks(true, true), lacks(false, false), lacks(false, true)]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});
