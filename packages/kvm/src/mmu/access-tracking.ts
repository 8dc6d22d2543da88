import type { Gfn } from '@heki/physical-memory';
import type { VmState } from '../vm-state.ts';
import { rewriteLeaves } from './rewrite-leaves.ts';
import { flushRemoteTlbs, zap } from './zap.ts';

/**
 * kvm_age_gfn(): clears accessed flags. On a processor without them the leaf loses R, W and X, which are saved in it and
 * come back with the next access: one of the paths that give rights back. Where nothing would be left that makes an
 * entry present (no MBEC), or a misconfigured one (the execute right of user code alone, where the processor has no execute-only entries;
 * SDM 3C 30.3.3.1), the leaf is removed instead, and the next access maps it anew.
 */
export function age(vm: VmState, start: Gfn, end: Gfn): void {
  const { format } = vm.tables;
  const { ept } = vm.options.processor;
  const keepsLeaf = ept === undefined || ept.accessedDirty || (vm.options.mbec && ept.executeOnly);
  vm.locks.with('mmu_lock', () => {
    if (keepsLeaf) rewriteLeaves(vm, start, end, (entry) => format.age(entry));
    else if (zap(vm, start, end)) flushRemoteTlbs(vm);
  });
}
