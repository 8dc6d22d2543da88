import { type XenAccessType, XenError } from '@heki/hypercall/xen';
import type { GuestRegions } from '@heki/hypervisor';
import { type Host, HypervisorError } from '@heki/hypervisor';
import type { Gfn, StateDigest } from '@heki/physical-memory';
import type { CpuProfile } from '@heki/x86';
import { isExpressible } from './access-rights.ts';
import { type AccessRange, createView, FULL_ACCESS, type View } from './view.ts';

/** Views that a domain can have beside the host p2m: MAX_ALTP2M. */
export const MOST_VIEWS = 10;

/** What XENMEM_access_op did before it ended: pages, and 0 or a negative error number. */
export interface AccessResult {
  readonly pages: number;
  readonly error: number;
}

/** A view beside the host p2m. Its entries are copied anew. */
export interface SavedView {
  readonly index: number;
  readonly defaultAccess: XenAccessType;
  readonly types: readonly AccessRange[];
}

/** All p2ms of a domain. */
export interface P2m {
  readonly host: View;
  /** By index; the host p2m is 0. Destroyed views leave `undefined`. */
  readonly views: readonly (View | undefined)[];
  /** XENMEM_access_op_set over a range of frames, or HVMOP_altp2m_set_mem_access for a view: page by page, with partial completion. */
  setAccess(view: View, start: Gfn, end: Gfn, access: XenAccessType): AccessResult;
  /** XENMEM_access_op_set for frame ~0: what pages without a type of their own have. 0 or a negative error number. */
  setDefault(view: View, access: XenAccessType): number;
  /** HVMOP_altp2m_create_p2m: its index, or a negative error number. It starts empty. */
  createView(defaultAccess: XenAccessType): number;
  /** Has these views beside the host p2m, and no others. Virtual CPUs must be in the host p2m. */
  replaceViews(views: readonly SavedView[]): void;
  /** HVMOP_altp2m_destroy_p2m: 0 or a negative error number. Virtual CPUs must have left it. */
  destroyView(index: number): number;
  /** What brings back the views of now. */
  checkpoint(): () => void;
  /** Tells `digest` the views of now. */
  digest(digest: StateDigest): void;
}

export function createP2m(host: Host, processor: CpuProfile, regions: GuestRegions): P2m {
  if (processor.ept === undefined) throw new HypervisorError(`processor ${processor.name} has no EPT`);
  const executeOnly = processor.ept.executeOnly;
  const make = (index: number, defaultAccess: XenAccessType): View =>
    createView({ index, host, processor, regions, defaultAccess });
  const hostView = make(0, FULL_ACCESS);
  const views: (View | undefined)[] = [hostView];
  return {
    host: hostView,
    views,
    setAccess(view, start, end, access) {
      if (!isExpressible(access, executeOnly)) return { pages: 0, error: -XenError.EINVAL };
      const wanted = regions.parts(start, end).reduce((sum, part) => sum + (part.end - part.start), 0);
      if (wanted === 0) return { pages: 0, error: -XenError.ESRCH };
      const pages = view.setAccess(start, end, access);
      return { pages, error: pages < wanted ? -XenError.ENOMEM : 0 };
    },
    setDefault(view, access) {
      if (!isExpressible(access, executeOnly)) return -XenError.EINVAL;
      view.setDefault(access);
      return 0;
    },
    createView(defaultAccess) {
      if (!isExpressible(defaultAccess, executeOnly)) return -XenError.EINVAL;
      const free = views.indexOf(undefined);
      const index = free < 0 ? views.length : free;
      if (index > MOST_VIEWS) return -XenError.ENOMEM;
      views[index] = make(index, defaultAccess);
      return index;
    },
    replaceViews(saved) {
      for (const view of views.splice(1)) view?.free();
      for (const { index, defaultAccess, types } of saved) {
        const view = make(index, defaultAccess);
        view.replace(defaultAccess, types);
        views[index] = view;
      }
      for (let index = 1; index < views.length; index++) views[index] ??= undefined;
    },
    destroyView(index) {
      const view = views[index];
      if (view === undefined || index === 0) return -XenError.EINVAL;
      view.free();
      views[index] = undefined;
      return 0;
    },
    checkpoint() {
      const kept = [...views];
      const backs = kept.map((view) => view?.checkpoint());
      return () => {
        views.splice(0, views.length, ...kept);
        for (const back of backs) back?.();
      };
    },
    digest(digest) {
      for (const view of views) view?.digest(digest);
      digest.word(-1);
    },
  };
}
