import type { EditableCore } from './edit-core.ts';

/** A fixture that is another one with something changed by hand, because QEMU cannot make it. */
export interface EditedFixture {
  readonly name: string;
  /** The guest whose fixture is edited. */
  readonly of: string;
  readonly about: string;
  /** What was changed, in words. */
  readonly edit: string;
  apply(core: EditableCore, ramEnd: bigint): void;
}

const CR4 = {
  VMXE: 1n << 13n,
  SMXE: 1n << 14n,
  PKS: 1n << 24n,
  UINTR: 1n << 25n,
  LASS: 1n << 27n,
  LAM_SUP: 1n << 28n,
  FRED: 1n << 32n,
} as const;

/** The C-bit of AMD Milan and later. */
const C_BIT = 1n << 51n;
const FRAME = 0xf_ffff_ffff_f000n;

export const EDITED_FIXTURES: readonly EditedFixture[] = [
  {
    name: 'k61-stock-vmxe',
    of: 'k61-stock-skylake',
    about: 'nested virtualization on Intel: CR4.VMXE, as kvm_intel sets it',
    edit: 'CR4.VMXE set in the note (TCG has no VMX)',
    apply: (core) => core.setCr4(CR4.VMXE),
  },
  {
    name: 'k61-cr4-of-tomorrow',
    of: 'k61-virtio-mem',
    about: 'bits of CR4 that newer processors and kernels have',
    edit: 'CR4.SMXE, PKS, UINTR, LASS, LAM_SUP and FRED set in the note (TCG has none of them)',
    apply: (core) => core.setCr4(CR4.SMXE | CR4.PKS | CR4.UINTR | CR4.LASS | CR4.LAM_SUP | CR4.FRED),
  },
  {
    name: 'k61-epyc-sev',
    of: 'k61-epyc',
    about: 'memory encryption (SEV): the C-bit, bit 51, in every entry that leads to RAM',
    edit: 'bit 51 set in CR3 and in each present entry of RAM, sme_mask in VMCOREINFO (TCG has no SEV)',
    apply(core, ramEnd) {
      core.setCr3(C_BIT);
      core.changeEntries((entry) =>
        (entry & 1n) === 1n && (entry & FRAME) < ramEnd ? entry | C_BIT : entry,
      );
      core.setVmcoreinfo('NUMBER(sme_mask)', String(C_BIT), [
        'OFFSET(list_head.next)',
        'OFFSET(list_head.prev)',
      ]);
    },
  },
];
