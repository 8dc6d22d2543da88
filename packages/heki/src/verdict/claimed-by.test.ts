import { ATTACKS } from '@heki/machine';
import { expect, test } from 'vitest';
import { claimedBy } from './claimed-by.ts';

const of = (name: string) => {
  const attack = ATTACKS.find((one) => one.name === name);
  if (attack === undefined) throw new Error(name);
  return claimedBy(attack);
};
const EVERY = ['kvm', 'kvm-vmm', 'kvm-vtl', 'kvm-planes', 'hyperv', 'hyperv-lvbs', 'xen'];

test('every machine with Heki claims to stop stores to text and to keep SMEP set', () => {
  const all = EVERY.flatMap((name) => [name, `${name}, no MBEC`]);
  for (const name of ['store-text', 'store-text-direct-map', 'store-text-after-pte-edit', 'clear-smep']) {
    expect(of(name)).toEqual({ hardened: all, 'rfc-v2': all });
  }
});

test('only those claim to keep data from being run that can take execution from the kernel alone', () => {
  const able = EVERY.filter((name) => name !== 'xen');
  expect(of('execute-data')).toEqual({ hardened: able, 'rfc-v2': able });
});

test('no claim is made about legitimate work', () => {
  expect(of('store-data')).toEqual({ hardened: [], 'rfc-v2': [] });
});
