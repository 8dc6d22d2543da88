import { CR0, CR4 } from '@heki/x86';
import { expect, test } from 'vitest';
import { createPins } from './pins.ts';

const PROTECTED = CR0.PE;
const PAGING = CR0.PG | CR0.PE;

test('a processor that took INIT may write CR0 freely until it pages, and is bound as soon as it has met its pin', () => {
  const pins = createPins([]);
  pins.add({ cr0: CR0.WP });
  expect(pins.allows(0, 0, PROTECTED)).toBe(false);
  pins.unbind(0);
  expect(pins.allows(0, 0, PROTECTED)).toBe(true);
  expect(pins.allows(0, 0, PAGING)).toBe(false);
  // It is refused that, and is free as before.
  expect(pins.allows(0, 0, PROTECTED)).toBe(true);
  expect(pins.allows(1, 0, PROTECTED)).toBe(false);
  expect(pins.allows(0, 0, PAGING | CR0.WP)).toBe(true);
  expect(pins.allows(0, 0, PROTECTED)).toBe(false);
});

test('paging binds CR0 alone: CR4 is free until its pins are met, whatever bits are in it', () => {
  const pins = createPins([]);
  pins.add({ cr0: CR0.WP, cr4: CR4.SMEP });
  pins.unbind(0);
  expect(pins.allows(0, 4, CR0.PG)).toBe(true);
  expect(pins.allows(0, 4, CR4.SMEP | CR4.PAE)).toBe(true);
  expect(pins.allows(0, 4, CR4.PAE)).toBe(false);
  // Each register is bound by itself.
  expect(pins.allows(0, 0, PROTECTED)).toBe(true);
});
