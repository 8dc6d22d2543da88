import { describe, expect, it } from 'vitest';
import { CR0, CR4, EFER } from './control-registers.ts';
import { AMD_ZEN4, INTEL_HASWELL, INTEL_VT_RP } from './cpu-profiles.ts';
import { type RegisterWrite, writeCr0, writeCr3, writeCr4, writeEfer } from './register-write.ts';
import { type PagingRegisters, pagingRegisters } from './registers.ts';

const LONG = pagingRegisters();
const BEFORE_PAGING = pagingRegisters({ cr0: CR0.PE, efer: EFER.LME });
const with_ = (changes: Partial<PagingRegisters>) => pagingRegisters(changes);

function reason(write: RegisterWrite): string | undefined {
  return write.kind === 'general-protection' ? write.reason : undefined;
}

function registers(write: RegisterWrite): PagingRegisters | undefined {
  return write.kind === 'ok' ? write.registers : undefined;
}

function flush(write: RegisterWrite) {
  return write.kind === 'ok' ? write.flush : undefined;
}

describe('a write of CR0', () => {
  it.each([
    ['a bit above 31', LONG, LONG.cr0 | (1n << 32n), '63:32'],
    ['PG without PE', LONG, CR0.PG | CR0.WP, 'PE = 1'],
    ['NW without CD', LONG, LONG.cr0 | CR0.NW, 'CD = 1'],
    ['WP = 0 under CET', with_({ cr4: CR4.PAE | CR4.CET }), LONG.cr0 & ~CR0.WP, 'CET = 0'],
    ['PG = 0 in long mode', LONG, LONG.cr0 & ~CR0.PG, '64-bit mode'],
    ['PG = 0 under PCIDE', with_({ cr4: CR4.PAE | CR4.PCIDE }), LONG.cr0 & ~CR0.PG, 'PCIDE'],
    ['PG = 1 with LME but not PAE', { ...BEFORE_PAGING, cr4: 0n }, CR0.PE | CR0.PG, 'PAE'],
  ])('refuses %s', (_, before, value, text) => {
    expect(reason(writeCr0(before, value))).toContain(text);
  });

  it('clears and sets WP, keeps ET and drops reserved bits of the lower half', () => {
    expect(registers(writeCr0(LONG, CR0.PG | CR0.PE | (1n << 6n) | (1n << 28n)))?.cr0).toBe(
      CR0.PG | CR0.PE | CR0.ET,
    );
    expect(registers(writeCr0(LONG, LONG.cr0 | CR0.CD | CR0.NW))?.cr0).toBe(LONG.cr0 | CR0.CD | CR0.NW);
  });

  it('under CET asks for WP and for nothing else', () => {
    const cet = with_({ cr4: CR4.PAE | CR4.CET });
    for (const bit of [CR0.TS, CR0.AM, CR0.CD, CR0.MP]) {
      expect(registers(writeCr0(cet, cet.cr0 ^ bit))?.cr0).toBe(cet.cr0 ^ bit);
    }
    expect(reason(writeCr0(cet, cet.cr0 & ~CR0.WP))).toContain('CET = 0');
    const writable = with_({ cr0: LONG.cr0 & ~CR0.WP });
    expect(registers(writeCr0(writable, LONG.cr0))?.cr0).toBe(LONG.cr0);
  });

  it('makes long mode active with paging, when it is enabled', () => {
    expect(registers(writeCr0(BEFORE_PAGING, CR0.PE | CR0.PG))?.efer).toBe(EFER.LME | EFER.LMA);
    const legacy = { ...BEFORE_PAGING, efer: 0n };
    expect(registers(writeCr0(legacy, CR0.PE | CR0.PG))?.efer).toBe(0n);
  });

  it('flushes everything when paging ends', () => {
    const legacy = with_({ efer: 0n });
    expect(flush(writeCr0(legacy, CR0.PE))).toEqual({ kind: 'all' });
    expect(flush(writeCr0(LONG, LONG.cr0 & ~CR0.WP))).toEqual({ kind: 'none' });
  });
});

describe('a write of CR3', () => {
  const pcid = with_({ cr4: CR4.PAE | CR4.PCIDE, cr3: 0x1001n });

  it('refuses bits from MAXPHYADDR on', () => {
    const profile = { ...INTEL_VT_RP, maxPhysicalAddressBits: 40 };
    expect(reason(writeCr3(LONG, 1n << 40n, profile))).toContain('63:40');
    expect(registers(writeCr3(LONG, 0xff_ffff_f018n, profile))?.cr3).toBe(0xff_ffff_f018n);
    expect(reason(writeCr3(LONG, 1n << 63n, profile))).toContain('63:40');
    expect(reason(writeCr3(pcid, 1n << 62n, profile))).toContain('63:40');
  });

  it('flushes all but global pages of the new PCID, unless bit 63 asks to keep them', () => {
    expect(flush(writeCr3(LONG, 0x5000n, INTEL_VT_RP))).toEqual({ kind: 'pcid', pcid: 0, global: false });
    expect(flush(writeCr3(pcid, 0x5007n, INTEL_VT_RP))).toEqual({ kind: 'pcid', pcid: 7, global: false });
    const kept = writeCr3(pcid, 0x5007n | (1n << 63n), INTEL_VT_RP);
    expect(flush(kept)).toEqual({ kind: 'none' });
    expect(registers(kept)?.cr3).toBe(0x5007n);
  });
});

describe('a write of CR4', () => {
  const outside = { ...LONG, cr0: CR0.PE, efer: 0n };

  it.each([
    ['an undefined bit', LONG, CR4.PAE | (1n << 15n), 'reserved'],
    ['a bit above 63:32', LONG, CR4.PAE | (1n << 40n), 'reserved'],
    ['LASS, which no profile has', LONG, CR4.PAE | CR4.LASS, 'reserved'],
    ['PAE = 0 in long mode', LONG, 0n, 'PAE'],
    ['LA57 in long mode', LONG, CR4.PAE | CR4.LA57, 'LA57'],
    ['LA57 away in long mode', with_({ cr4: CR4.PAE | CR4.LA57 }), CR4.PAE, 'LA57'],
    ['PCIDE outside long mode', outside, CR4.PAE | CR4.PCIDE, 'long mode'],
    ['PCIDE while CR3 has low bits', with_({ cr3: 0x1008n }), CR4.PAE | CR4.PCIDE, 'CR3[11:0]'],
    ['CET without WP', with_({ cr0: LONG.cr0 & ~CR0.WP }), CR4.PAE | CR4.CET, 'WP'],
  ])('refuses %s', (_, before, value, text) => {
    expect(reason(writeCr4(before, value, INTEL_VT_RP))).toContain(text);
  });

  it('refuses features that the processor lacks', () => {
    for (const bit of [CR4.SMAP, CR4.PKE, CR4.UMIP, CR4.CET, CR4.PKS]) {
      expect(reason(writeCr4(LONG, CR4.PAE | bit, INTEL_HASWELL))).toContain('reserved');
      expect(writeCr4(LONG, CR4.PAE | bit, INTEL_VT_RP).kind).toBe('ok');
    }
    for (const bit of [CR4.PKS, CR4.VMXE, CR4.LASS]) {
      expect(reason(writeCr4(LONG, CR4.PAE | bit, AMD_ZEN4))).toContain('reserved');
    }
    const vmx = { ...INTEL_VT_RP, cr4: INTEL_VT_RP.cr4 | CR4.VMXE };
    expect(writeCr4(LONG, CR4.PAE | CR4.VMXE, vmx).kind).toBe('ok');
    expect(reason(writeCr4(LONG, CR4.PAE | CR4.VMXE, INTEL_VT_RP))).toContain('reserved');
  });

  it('sets PCIDE only while CR3[11:0] = 0, and without it takes a CR3 of any low bits', () => {
    // A CR3 with PWT and PCD: the bits that would be a PCID mean nothing without PCIDE.
    const cached = with_({ cr3: 0x1018n });
    expect(writeCr4(cached, CR4.PAE | CR4.SMEP, INTEL_VT_RP).kind).toBe('ok');
    expect(reason(writeCr4(cached, CR4.PAE | CR4.PCIDE, INTEL_VT_RP))).toContain('CR3[11:0]');
    expect(writeCr4(with_({ cr3: 0x1000n }), CR4.PAE | CR4.PCIDE, INTEL_VT_RP).kind).toBe('ok');
    // Nor do those low bits choose what is flushed.
    expect(flush(writeCr3(LONG, 0x5018n, INTEL_VT_RP))).toEqual({ kind: 'pcid', pcid: 0, global: false });
    expect(flush(writeCr4(cached, CR4.PAE | CR4.SMEP, INTEL_VT_RP))).toEqual({
      kind: 'pcid',
      pcid: 0,
      global: true,
    });
  });

  it('changes LA57 and PAE outside long mode', () => {
    expect(registers(writeCr4(outside, CR4.LA57, INTEL_VT_RP))?.cr4).toBe(CR4.LA57);
  });

  it('keeps PCIDE while CR3 holds a PCID', () => {
    const pcid = with_({ cr4: CR4.PAE | CR4.PCIDE, cr3: 0x1001n });
    expect(registers(writeCr4(pcid, CR4.PAE | CR4.PCIDE | CR4.SMEP, INTEL_VT_RP))?.cr4).toBe(
      CR4.PAE | CR4.PCIDE | CR4.SMEP,
    );
  });

  it('flushes as the changed bits ask', () => {
    const pcid = with_({ cr4: CR4.PAE | CR4.PCIDE | CR4.SMEP, cr3: 0x1003n });
    const to = (before: PagingRegisters, value: bigint) => flush(writeCr4(before, value, INTEL_VT_RP));
    expect(to(LONG, CR4.PAE | CR4.PGE)).toEqual({ kind: 'all' });
    expect(to(pcid, CR4.PAE | CR4.SMEP)).toEqual({ kind: 'all' });
    expect(to(LONG, CR4.PAE | CR4.SMEP)).toEqual({ kind: 'pcid', pcid: 0, global: true });
    expect(to(pcid, CR4.PAE | CR4.PCIDE)).toEqual({ kind: 'none' });
    expect(to(with_({ cr4: CR4.PAE | CR4.PCIDE, cr3: 0x1003n }), pcid.cr4)).toEqual({
      kind: 'pcid',
      pcid: 3,
      global: true,
    });
    expect(to(LONG, CR4.PAE | CR4.SMAP)).toEqual({ kind: 'none' });
  });
});

describe('a write of EFER', () => {
  it('refuses LME under paging, reserved bits and what the processor lacks', () => {
    expect(reason(writeEfer(LONG, LONG.efer & ~EFER.LME, INTEL_VT_RP))).toContain('LME');
    expect(reason(writeEfer(LONG, LONG.efer | 2n, INTEL_VT_RP))).toContain('reserved');
    expect(
      reason(writeEfer(LONG, LONG.efer, { ...INTEL_VT_RP, efer: EFER.SCE | EFER.LME | EFER.LMA })),
    ).toContain('reserved');
    expect(reason(writeEfer(LONG, LONG.efer | EFER.SVME, AMD_ZEN4))).toContain('reserved');
    const svm = { ...AMD_ZEN4, efer: AMD_ZEN4.efer | EFER.SVME };
    expect(writeEfer(LONG, LONG.efer | EFER.SVME, svm).kind).toBe('ok');
    expect(writeEfer(LONG, LONG.efer | EFER.AIBRSE | EFER.TCE, AMD_ZEN4).kind).toBe('ok');
  });

  it('changes NXE at any time and LMA never', () => {
    expect(registers(writeEfer(LONG, EFER.LME, INTEL_VT_RP))?.efer).toBe(EFER.LME | EFER.LMA);
    const off = { ...BEFORE_PAGING, efer: 0n };
    expect(registers(writeEfer(off, EFER.LME | EFER.LMA | EFER.NXE, INTEL_VT_RP))?.efer).toBe(
      EFER.LME | EFER.NXE,
    );
  });
});
