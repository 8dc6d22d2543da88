import { XenAccess, type XenAccessType } from '@heki/hypercall/xen';
import type { GuestPlaces, LifeStep } from '@heki/hypervisor/conformance';
import type { Gfn } from '@heki/physical-memory';
import type { XenDomain } from '../domain.ts';

const TYPES: readonly XenAccessType[] = [
  XenAccess.N,
  XenAccess.R,
  XenAccess.RW,
  XenAccess.RX,
  XenAccess.RWX,
  XenAccess.RX2RW,
  XenAccess.N2RWX,
];
const FRAMES = [0x1ff, 0x200, 0x201, 0x300, 0x400, 0x5ff, 0x4_0003];

/** What can happen to a domain beside what can on any backend: views, access types that no rights tell, and a monitor that lags. */
export function xenLives({ vm }: GuestPlaces<XenDomain>): readonly LifeStep[] {
  const step = (name: string, run: LifeStep['run']): LifeStep => ({ name, run });
  const type = (below: (count: number) => number): XenAccessType =>
    TYPES[below(TYPES.length)] ?? XenAccess.RWX;
  return [
    step('access', (_vcpu, below) => {
      const start = FRAMES[below(FRAMES.length)] ?? 0x200;
      return JSON.stringify(
        vm.views.setAccess(below(3), start as Gfn, (start + 1 + below(3)) as Gfn, type(below)),
      );
    }),
    step('default', (_vcpu, below) =>
      below(4) === 0 ? String(vm.views.setDefault(below(3), type(below))) : '',
    ),
    step('view', (_vcpu, below) => String(vm.views.create(type(below)))),
    step('no view', (_vcpu, below) => String(vm.views.destroy(below(4)))),
    ...['one', 'all'].map((which) =>
      step(`switch of ${which}`, (vcpu, below) =>
        String(vm.views.switchTo(below(3), which === 'one' ? vcpu : undefined)),
      ),
    ),
    step('the monitor', (_vcpu, below) => String(vm.runMonitor(below(3)))),
  ];
}
