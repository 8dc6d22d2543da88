import { CR0, CR3, CR4, EFER } from './control-registers.ts';
import type { PagingRegisters } from './registers.ts';

/** Something that registers switch on and that this model does not do. */
export interface UnmodelledSemantics {
  /** Short name, for programs. */
  readonly id: 'lam' | 'fred' | 'cet' | 'user-interrupts' | 'own-guests' | 'segment-limits' | 'unknown-bits';
  /** The bits that switch it on, and what is done instead: `CR4.FRED: ...`. */
  readonly text: string;
}

type Registers = Pick<PagingRegisters, 'cr0' | 'cr3' | 'cr4' | 'efer'>;

const MASKED_ADDRESSES =
  'masking of linear addresses is not modelled: a data address with metadata in its upper bits is taken as not canonical';
const OWN_GUESTS = 'virtual machines of the guest’s own are not modelled: nothing is tried from inside one';

/** What is switched on by single bits, and what is done here instead. */
const SWITCHES: readonly {
  readonly id: UnmodelledSemantics['id'];
  readonly register: keyof Registers;
  readonly bits: Readonly<Record<string, bigint>>;
  readonly text: string;
}[] = [
  { id: 'lam', register: 'cr4', bits: { 'CR4.LAM_SUP': CR4.LAM_SUP }, text: MASKED_ADDRESSES },
  {
    id: 'lam',
    register: 'cr3',
    bits: { 'CR3.LAM_U57': CR3.LAM_U57, 'CR3.LAM_U48': CR3.LAM_U48 },
    text: MASKED_ADDRESSES,
  },
  { id: 'lam', register: 'efer', bits: { 'EFER.UAIE': EFER.UAIE }, text: MASKED_ADDRESSES },
  {
    id: 'fred',
    register: 'cr4',
    bits: { 'CR4.FRED': CR4.FRED },
    text: 'events are delivered through the IDT here, not by FRED',
  },
  {
    id: 'cet',
    register: 'cr4',
    bits: { 'CR4.CET': CR4.CET },
    text: 'shadow stacks and indirect-branch tracking are not modelled: what they forbid is allowed here',
  },
  {
    id: 'user-interrupts',
    register: 'cr4',
    bits: { 'CR4.UINTR': CR4.UINTR },
    text: 'user interrupts, and what the processor reads and writes to deliver them, are not modelled',
  },
  { id: 'own-guests', register: 'cr4', bits: { 'CR4.VMXE': CR4.VMXE }, text: OWN_GUESTS },
  { id: 'own-guests', register: 'efer', bits: { 'EFER.SVME': EFER.SVME }, text: OWN_GUESTS },
  {
    id: 'segment-limits',
    register: 'efer',
    bits: { 'EFER.LMSLE': EFER.LMSLE },
    text: 'segment limits in 64-bit mode are not modelled: an access beyond one is allowed here',
  },
];

/** The registers whose every bit has a name in its table. */
const TABLES: readonly {
  readonly register: keyof Registers;
  readonly name: string;
  readonly masks: Readonly<Record<string, bigint>>;
}[] = [
  { register: 'cr0', name: 'CR0', masks: CR0 },
  { register: 'cr4', name: 'CR4', masks: CR4 },
  { register: 'efer', name: 'EFER', masks: EFER },
];

/** What `registers` switch on and the model does not do, in a fixed order. */
export function unmodelledSemantics(registers: Registers): UnmodelledSemantics[] {
  const switched = SWITCHES.flatMap(({ id, register, bits, text }): UnmodelledSemantics[] => {
    const set = Object.keys(bits).filter((name) => (registers[register] & (bits[name] ?? 0n)) !== 0n);
    return set.length === 0 ? [] : [{ id, text: `${set.join(' and ')}: ${text}` }];
  });
  const unknown = TABLES.flatMap(({ register, name, masks }): UnmodelledSemantics[] => {
    const bits = Object.values(masks).reduce((left, mask) => left & ~mask, registers[register]);
    const text = `${name} bits 0x${bits.toString(16)}: this model does not know what they mean`;
    return bits === 0n ? [] : [{ id: 'unknown-bits', text }];
  });
  return [...switched, ...unknown];
}
