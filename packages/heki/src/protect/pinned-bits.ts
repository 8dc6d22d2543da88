import type { ControlRegisterBits } from '@heki/machine';
import type { Profile } from '@heki/series';
import { bitNames, CR0_BITS, CR4_BITS, type PagingRegisters } from '@heki/x86';
import type { Finding } from '../verdict/finding.ts';
import type { Warning } from '../warning.ts';

/** What a reader must know of pins that keep nothing. */
export function pinWarnings(pinned: ControlRegisterBits, kept: ControlRegisterBits): Warning[] {
  const message = hollowPins(pinned, kept);
  return message === undefined ? [] : [{ id: 'hollow-pins', message }];
}

/** The same for the verdict: `hardened` claims every pin that it was given. */
export function pinFindings(
  pinned: ControlRegisterBits,
  kept: ControlRegisterBits,
  profile: Profile,
): Finding[] {
  const message = hollowPins(pinned, kept);
  return message === undefined || profile !== 'hardened' ? [] : [{ id: 'claimed-attack-succeeded', message }];
}

function hollowPins(pinned: ControlRegisterBits, kept: ControlRegisterBits): string | undefined {
  const names = [
    ...bitNames(CR0_BITS, pinned.cr0 & ~kept.cr0).map((name) => `CR0.${name}`),
    ...bitNames(CR4_BITS, pinned.cr4 & ~kept.cr4).map((name) => `CR4.${name}`),
  ];
  if (names.length === 0) return undefined;
  return `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} pinned in name only: a MOV changes ${names.length === 1 ? 'it' : 'them'} all the same`;
}

/** The bits that keep their value, by the value that they have, as lines for people. */
export function keptBitsLines(
  kept: ControlRegisterBits,
  { cr0, cr4 }: Pick<PagingRegisters, 'cr0' | 'cr4'>,
): string[] {
  return [
    ...bitsLine(bitNames(CR0_BITS, kept.cr0 & cr0), bitNames(CR4_BITS, kept.cr4 & cr4), 'set'),
    ...bitsLine(bitNames(CR0_BITS, kept.cr0 & ~cr0), bitNames(CR4_BITS, kept.cr4 & ~cr4), 'clear'),
  ];
}

function bitsLine(ofCr0: readonly string[], ofCr4: readonly string[], value: 'set' | 'clear'): string[] {
  const registers = [
    ...(ofCr0.length === 0 ? [] : [`CR0 ${ofCr0.join(' ')}`]),
    ...(ofCr4.length === 0 ? [] : [`CR4 ${ofCr4.join(' ')}`]),
  ].join(' and ');
  if (registers === '') return [];
  // In line with the rights of pages, which have a letter less.
  const verb = ofCr0.length + ofCr4.length === 1 ? 'stays' : 'stay';
  return [`${registers.replace(' ', '  ')} ${verb} ${value}`];
}
