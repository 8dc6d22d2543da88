import { VcpuWaits } from '@heki/hypervisor';
import { HekiError } from '@heki/physical-memory';

/**
 * The locks that the series touches, SRCU's read side, which a virtual CPU holds while it handles an exit, and what an owner of the policy outside
 * KVM holds while it takes one request.
 */
export type LockName = 'heki_lock' | 'policy_lock' | 'slots_lock' | 'srcu' | 'slots_arch_lock' | 'mmu_lock';

/**
 * The order in which they nest, outermost first (Linux Documentation/virt/kvm/locking.rst). `slots_lock` is held
 * over synchronize_srcu(), so that taking it inside an SRCU read section would wait for itself: this is why the
 * hypercall needs `slots_arch_lock` (Heki v2 7/19). `heki_lock` is the guest core's own mutex, held around the call.
 */
const KVM_LOCK_ORDER: readonly LockName[] = [
  'heki_lock',
  'policy_lock',
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
  /**
   * @throws {LockError} when it is held already, or one that nests inside it is
   * @throws {VcpuWaits} when a thread holds it that stands still
   */
  acquire(lock: LockName): void;
  /** @throws {LockError} when it is not held */
  release(lock: LockName): void;
  /** lockdep_assert_held(). @throws {LockError} when it is not held */
  assertHeld(lock: LockName): void;
  /** What `body` returns, with `lock` held around it. */
  with<Result>(lock: LockName, body: () => Result): Result;
  /** What it needs to see all readers of SRCU gone. @throws {VcpuWaits} when a thread that stands still is one */
  synchronizeSrcu(): void;
  /** Runs another thread while this one stands still, with all that it holds. Within {@link alone} none runs. */
  otherThread(body: () => void): void;
  /** What `body` returns, while no other thread runs: every virtual CPU was kicked out of the guest and waits. */
  alone<Result>(body: () => Result): Result;
  /** Another thread runs than the one that is in the middle of something. */
  readonly suspended: boolean;
  readonly held: readonly LockName[];
}

/** A checker that holds nothing yet. */
export function createLockChecker(order: readonly LockName[] = KVM_LOCK_ORDER): LockChecker {
  const held: LockName[] = [];
  /** What threads hold that stand still. */
  let others: readonly LockName[] = [];
  /** How many threads stand still. */
  let threads = 0;
  let isAlone = false;
  const checker: LockChecker = {
    held,
    acquire(lock) {
      if (lock !== 'srcu' && others.includes(lock)) throw new VcpuWaits(`another processor holds ${lock}`);
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
      if (held.at(-1) === lock) {
        held.pop();
        return;
      }
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
    synchronizeSrcu() {
      if (others.includes('srcu')) throw new VcpuWaits('another processor reads memslots');
    },
    get suspended() {
      return threads > 0;
    },
    alone(body) {
      const before = isAlone;
      isAlone = true;
      try {
        return body();
      } finally {
        isAlone = before;
      }
    },
    otherThread(body) {
      if (isAlone) return;
      const before = others;
      const mine = held.splice(0);
      others = [...others, ...mine];
      threads++;
      try {
        body();
      } finally {
        threads--;
        held.splice(0, held.length, ...mine);
        others = before;
      }
    },
  };
  return checker;
}
