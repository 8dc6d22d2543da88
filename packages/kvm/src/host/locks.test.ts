import { expect, test } from 'vitest';
import { createLockChecker, LockError } from './locks.ts';

test('a hypercall cannot take slots_lock, which is held over synchronize_srcu, but can take slots_arch_lock', () => {
  const locks = createLockChecker();
  locks.with('srcu', () => {
    expect(() => locks.with('slots_lock', () => undefined)).toThrow(
      'slots_lock is taken inside srcu: expected the order heki_lock, policy_lock, slots_lock, srcu, slots_arch_lock, mmu_lock',
    );
    expect(locks.with('slots_arch_lock', () => [...locks.held])).toEqual(['srcu', 'slots_arch_lock']);
  });
});

test('an assertion of the other lock fails, as it does in the series from patch 7 to 17', () => {
  const locks = createLockChecker();
  locks.with('slots_arch_lock', () => {
    expect(() => locks.assertHeld('slots_lock')).toThrow(
      'slots_lock is not held here: held are slots_arch_lock',
    );
    locks.assertHeld('slots_arch_lock');
  });
});

test('a lock cannot be taken twice, or given back without being held', () => {
  const locks = createLockChecker();
  locks.acquire('mmu_lock');
  expect(() => locks.acquire('mmu_lock')).toThrow('mmu_lock is taken twice');
  locks.release('mmu_lock');
  expect(() => locks.release('mmu_lock')).toThrow(LockError);
});

test('a lock is given back when what it protects throws', () => {
  const locks = createLockChecker();
  expect(() =>
    locks.with('mmu_lock', () => {
      throw new Error('x');
    }),
  ).toThrow('x');
  expect(locks.held).toEqual([]);
});
