import type { Defect } from '@heki/series';

export const B_H17: Defect = {
  title: 'MBEC is assumed on AMD, and its register writes are unchecked',
  happens:
    'Bit 2 of a nested entry, there the user bit, is cleared for pages without EXEC: every access to them fails for ever. MOV to CR0 and CR4 pass without a look at the pins, and the injected address is stale.',
  why: '`enable_mbec` is a variable of kvm-intel that defaults to true and is used from kvm; the checks are in the VMX handlers only.',
  mend: 'Execution is denied by GMET where the processor has it and not at all otherwise (reported as weakened); the SVM handlers check the pins.',
  notShown: 'That kvm.ko then needs kvm-intel.ko and does not link unless both are built in.',
};
