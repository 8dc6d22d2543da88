import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CR0, CR3, CR4, EFER } from './control-registers.ts';
import { pagingRegisters } from './registers.ts';
import { unmodelledSemantics } from './unmodelled.ts';

const PLAIN = pagingRegisters();

test.each([
  ['cr4', CR4.LAM_SUP, 'lam', 'CR4.LAM_SUP: '],
  ['cr3', CR3.LAM_U57, 'lam', 'CR3.LAM_U57: '],
  ['cr3', CR3.LAM_U57 | CR3.LAM_U48, 'lam', 'CR3.LAM_U57 and CR3.LAM_U48: '],
  ['efer', EFER.UAIE, 'lam', 'EFER.UAIE: '],
  ['cr4', CR4.FRED, 'fred', 'CR4.FRED: '],
  ['cr4', CR4.CET, 'cet', 'CR4.CET: '],
  ['cr4', CR4.UINTR, 'user-interrupts', 'CR4.UINTR: '],
  ['cr4', CR4.VMXE, 'own-guests', 'CR4.VMXE: '],
  ['efer', EFER.SVME, 'own-guests', 'EFER.SVME: '],
  ['efer', EFER.LMSLE, 'segment-limits', 'EFER.LMSLE: '],
  ['cr0', 1n << 6n, 'unknown-bits', 'CR0 bits 0x40: '],
  ['cr4', 1n << 63n, 'unknown-bits', 'CR4 bits 0x8000000000000000: '],
  ['efer', 1n << 16n, 'unknown-bits', 'EFER bits 0x10000: '],
] as const)('%s with 0x%x says %s', (register, bits, id, text) => {
  const found = unmodelledSemantics({ ...PLAIN, [register]: PLAIN[register] | bits });
  expect(found).toEqual([{ id, text: expect.stringMatching(new RegExp(`^${text}`)) }]);
});

test('says nothing of a kernel that switches on only what is modelled', () => {
  const { PAE, PGE, UMIP, LA57, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP, PKE, PKS, SMXE } = CR4;
  const modelled = PAE | PGE | UMIP | LA57 | FSGSBASE | PCIDE | OSXSAVE | SMEP | SMAP | PKE | PKS | SMXE;
  const efer = PLAIN.efer | EFER.AIBRSE | EFER.TCE | EFER.FFXSR | EFER.MCOMMIT | EFER.INTWB;
  expect(unmodelledSemantics({ ...PLAIN, cr0: PLAIN.cr0 | CR0.AM, cr4: modelled, efer })).toEqual([]);
});

test('no bit of CR0, CR4 or EFER without a name passes in silence', () => {
  const named = { cr0: CR0, cr4: CR4, efer: EFER };
  const register = fc.constantFrom('cr0', 'cr4', 'efer');
  fc.assert(
    fc.property(register, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (name, value) => {
      const known = Object.values<bigint>(named[name]).reduce((mask, bit) => mask | bit);
      const ids = unmodelledSemantics({ ...PLAIN, [name]: value }).map(({ id }) => id);
      expect(ids.includes('unknown-bits')).toBe((value & ~known) !== 0n);
    }),
  );
});
