import { HekiError } from '@heki/physical-memory';

/** The locks that the series touches, and SRCU's read side, which a virtual CPU holds while it handles an exit. */
export type LockName = 'heki_lock' | 'slots_lock' | 'srcu' | 'slots_arch_lock' | 'mmu_lock';

/**
 * The order in which they nest, outermost first (Linux Documentation/virt/kvm/locking.rst). `slots_lock` is held
 * over synchronize_srcu(), so that taking it inside an SRCU read section would wait for itself: this is why the
 * hypercall needs `slots_arch_lock` (Heki v2 7/19). `heki_lock` is the guest core's own mutex, held around the call.
 */
const KVM_LOCK_ORDER: readonly LockName[] = [
  'heki_lock',
  'slots_lock',
  'srcu',
  'slots_arch_lock',
  'mmu_lock',
];

/** A lock taken against the order, twice, or not held where it must be: a bug of the code that takes it. */
export class LockError extends HekiError {
  override readonly name = 'LockError';
}

/** Watches the locks of one thread: what lockdep would say. */
export interface LockChecker {
  /** @throws {LockError} when it is held already, or one that nests inside it is */
  acquire(lock: LockName): void;
  /** @throws {LockError} when it is not held */
  release(lock: LockName): void;
  /** lockdep_assert_held(). @throws {LockError} when it is not held */
  assertHeld(lock: LockName): void;
  /** What `body` returns, with `lock` held around it. */
  with<Result>(lock: LockName, body: () => Result): Result;
  readonly held: readonly LockName[];
}

/** A checker that holds nothing yet. */
export function createLockChecker(order: readonly LockName[] = KVM_LOCK_ORDER): LockChecker {
  const held: LockName[] = [];
  const checker: LockChecker = {
    held,
    acquire(lock) {
      const inner = held.at(-1);
      if (inner !== undefined && order.indexOf(inner) >= order.indexOf(lock)) {
        throw new LockError(
          held.includes(lock)
            ? `${lock} is taken twice: held are ${held.join(', ')}`
            : `${lock} is taken inside ${inner}: expected the order ${order.join(', ')}`,
        );
      }
      held.push(lock);
    },
    release(lock) {
      checker.assertHeld(lock);
      held.splice(held.indexOf(lock), 1);
    },
    assertHeld(lock) {
      if (!held.includes(lock)) {
        throw new LockError(`${lock} is not held here: held are ${held.join(', ') || 'none'}`);
      }
    },
    with(lock, body) {
      checker.acquire(lock);
      try {
        return body();
      } finally {
        checker.release(lock);
      }
    },
  };
  return checker;
}
