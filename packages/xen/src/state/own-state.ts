import { XenAccess, type XenAccessType } from '@heki/hypercall/xen';
import {
  badState,
  checkStateInteger,
  checkStateList,
  checkStateRanges,
  type ProtectionState,
} from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { DomainState } from '../domain-state.ts';
import { isExpressible } from '../p2m/access-rights.ts';
import { MOST_VIEWS, type SavedView } from '../p2m/p2m.ts';
import type { AccessRange } from '../p2m/view.ts';

/** What Xen and its monitor have beside rights and pins. */
export interface XenOwnState {
  readonly backend: 'xen';
  /** Access types that rights do not tell: `rx2rw`, `n2rwx`. */
  readonly conversions: readonly AccessRange[];
  readonly defaultAccess: XenAccessType;
  /** Immutable frames that have no access type of their own. */
  readonly immutable: readonly { readonly start: Gfn; readonly end: Gfn }[];
  readonly views: readonly SavedView[];
  /** Virtual CPUs that are in one of them. */
  readonly current: readonly { readonly vcpu: number; readonly view: number }[];
}

/**
 * The part of a state that is Xen's own.
 *
 * @throws {HypervisorError} when it is malformed, or this domain cannot have it
 */
export function checkOwn(
  { options, vcpus }: DomainState,
  saved: NonNullable<ProtectionState['own']>,
): XenOwnState {
  if (saved.backend !== 'xen') throw badState('own.backend', saved.backend, "'xen'");
  const { conversions, defaultAccess, immutable, views, current } = saved as XenOwnState;
  const checkAccess = (place: string, access: XenAccessType): void => {
    checkStateInteger(place, access, 0, XenAccess.N2RWX);
    if (!isExpressible(access, options.processor.ept?.executeOnly === true)) {
      throw badState(place, access, 'an access type that this processor can hold');
    }
  };
  const checkType = ({ access }: AccessRange, place: string): void => checkAccess(`${place}.access`, access);
  checkStateRanges('own.conversions', conversions, checkType);
  checkAccess('own.defaultAccess', defaultAccess);
  checkStateRanges('own.immutable', immutable, () => {});
  const indices = new Set<number>();
  checkStateList<SavedView>('own.views', views, (view, place) => {
    checkStateInteger(`${place}.index`, view.index, 1, MOST_VIEWS);
    if (indices.has(view.index)) throw badState(`${place}.index`, view.index, 'each view once');
    indices.add(view.index);
    checkAccess(`${place}.defaultAccess`, view.defaultAccess);
    checkStateRanges(`${place}.types`, view.types, checkType);
  });
  checkStateList<XenOwnState['current'][0]>('own.current', current, ({ vcpu, view }, place) => {
    checkStateInteger(`${place}.vcpu`, vcpu, 0, vcpus.length - 1);
    if (!indices.has(view)) throw badState(`${place}.view`, view, 'a view of the state');
  });
  return saved as XenOwnState;
}
