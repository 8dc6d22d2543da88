import { createStateDigest } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { machine } from './testing/machine.ts';

/** Another value of the same kind. */
function other(value: unknown): unknown {
  if (typeof value === 'bigint') return value ^ 1n;
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'boolean') return !value;
  return typeof value === 'string' || value instanceof Set
    ? new Set([0x10])
    : { base: 0x1000n, limit: 7, init: true };
}

test('a checkpoint brings back every register and every control, and a digest tells each', () => {
  const { cpu: vcpu } = machine();
  const back = vcpu.checkpoint();
  const digest = createStateDigest();
  const number = (): number => {
    digest.reset();
    vcpu.digest(digest);
    return digest.number;
  };
  const before = number();
  for (const place of [vcpu.registers, vcpu.controls]) {
    const names = Object.keys(place);
    expect(names.length).toBeGreaterThan(11);
    for (const name of names) {
      const value: unknown = Reflect.get(place, name);
      Reflect.set(place, name, other(value));
      expect(number(), name).not.toBe(before);
      back();
      expect(Reflect.get(place, name), name).toBe(value);
      expect(number(), name).toBe(before);
    }
  }
});
