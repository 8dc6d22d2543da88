import { CR0_PIN_REQUIRED, CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import type { XenAccessType } from '@heki/hypercall/xen';
import {
  type Capabilities,
  checkProtectionState,
  departedOf,
  HypervisorError,
  type ProtectionRange,
  type ProtectionState,
  sameRights,
  VcpuWaits,
} from '@heki/hypervisor';
import { FRAME_END, type Gfn } from '@heki/physical-memory';
import { type DomainState, flush, useView } from '../domain-state.ts';
import type { MemoryPolicy } from '../monitor/enforce.ts';
import type { Pins } from '../monitor/pins.ts';
import { accessOfRights, rightsOfAccess } from '../p2m/access-rights.ts';
import type { AccessRange } from '../p2m/view.ts';
import { checkOwn, type XenOwnState } from './own-state.ts';

const FIRST = 0 as Gfn;
const END = FRAME_END as Gfn;

/** What functions of this file work on. */
interface Parts {
  readonly domain: DomainState;
  readonly policy: MemoryPolicy;
  readonly pins: Pins;
  readonly capabilities: Capabilities;
  /** Turns on the events that the pins need. */
  readonly subscribe: () => void;
}

/**
 * All that Xen and the monitor hold. `undefined` while a request is under way, a virtual CPU waits for the monitor, an event is on its way, an access is let
 * through once, or the domain is going down: no state can say that.
 */
export function saveState({ domain, policy, pins }: Parts): ProtectionState | undefined {
  const { channel, once, injections, shutdown, p2m, views, vcpus } = domain;
  if (domain.suspended || !channel.idle || once.size > 0 || injections.size > 0 || shutdown !== undefined)
    return undefined;
  const ranges: ProtectionRange[] = [];
  const conversions: AccessRange[] = [];
  const immutableFrames: { start: Gfn; end: Gfn }[] = [];
  forEachType(domain, (access, start, end) => {
    if (access !== undefined && access !== accessOfRights(rightsOfAccess(access))) {
      conversions.push({ start, end, access });
    }
    policy.forEachRun(start, end, (immutable, from, to) => {
      if (access !== undefined)
        ranges.push({ start: from, end: to, rights: rightsOfAccess(access), immutable });
      else if (immutable) immutableFrames.push({ start: from, end: to });
    });
  });
  const own: XenOwnState = {
    backend: 'xen',
    conversions,
    defaultAccess: p2m.host.defaultAccess,
    immutable: immutableFrames,
    views: p2m.views.slice(1).flatMap((view) => {
      if (view === undefined) return [];
      const types: AccessRange[] = [];
      view.forEachAccess(FIRST, END, (access, start, end) => types.push({ start, end, access }));
      return [{ index: view.index, defaultAccess: view.defaultAccess, types }];
    }),
    current: vcpus.flatMap((vcpu) => {
      const { index = 0 } = views.get(vcpu) ?? {};
      return index === 0 ? [] : [{ vcpu: vcpu.id, view: index }];
    }),
  };
  const saved = pins.save();
  return {
    ranges,
    otherwise: rightsOfAccess(p2m.host.defaultAccess),
    cr0: pins.cr0,
    cr4: pins.cr4,
    registers: pins.held.all,
    ...(saved.length === 0 ? {} : { vcpus: saved }),
    ...departedOf(domain.regions.hostFrames),
    own,
  };
}

/** Calls `visit` for every run of frames with one access type in the host p2m, or with none of their own. */
function forEachType(
  { p2m }: DomainState,
  visit: (access: AccessRange['access'] | undefined, start: Gfn, end: Gfn) => void,
): void {
  let next = FIRST;
  p2m.host.forEachAccess(FIRST, END, (access, start, end) => {
    if (next < start) visit(undefined, next, start);
    visit(access, start, end);
    next = end;
  });
  if (next < END) visit(undefined, next, END);
}

/**
 * Puts a state into a domain.
 *
 * @throws {HypervisorError} when this domain cannot have it, or no host frame is left for its tables; then nothing has changed
 * @throws {VcpuWaits} while a request is under way
 */
export function restoreState(parts: Parts, state: ProtectionState): void {
  const { domain, capabilities } = parts;
  checkProtectionState(state, {
    backend: 'xen',
    capabilities,
    cr0: CR0_PIN_REQUIRED,
    cr4: CR4_PINNED_MASK,
    endsBoot: false,
  });
  const own = state.own === undefined ? undefined : checkOwn(domain, state.own);
  if (domain.suspended) throw new VcpuWaits('a request is under way');
  const { host } = domain.p2m;
  const { hostFrames } = domain.regions;
  const departedBefore = hostFrames.departed;
  hostFrames.replace(state.departed ?? []);
  const before: AccessRange[] = [];
  host.forEachAccess(FIRST, END, (access, start, end) => before.push({ start, end, access }));
  const defaultBefore = host.defaultAccess;
  if (!host.replace(defaultOf(state, own), typesOf(state, own))) {
    hostFrames.replace(departedBefore);
    host.replace(defaultBefore, before);
    flush(domain);
    throw new HypervisorError('no host frame is left for the p2m tables of a saved state');
  }
  applyState(parts, state, own);
}

/** Access types, immutable frames, views, pins: the tables of the host p2m have theirs already. */
function applyState(
  { domain, policy, pins, subscribe }: Parts,
  state: ProtectionState,
  own: XenOwnState | undefined,
): void {
  const { p2m, vcpus } = domain;
  policy.replace([...state.ranges.filter(({ immutable }) => immutable === true), ...(own?.immutable ?? [])]);
  if (own !== undefined) {
    for (const vcpu of vcpus) useView(domain, vcpu, p2m.host);
    p2m.replaceViews(own.views);
    for (const { vcpu: id, view: index } of own.current) {
      const vcpu = vcpus[id];
      const view = p2m.views[index];
      if (vcpu !== undefined && view !== undefined) useView(domain, vcpu, view);
    }
  }
  flush(domain);
  pins.replace(state);
  subscribe();
}

/** Types of frames as ranges have them, and then those that rights do not tell. */
function typesOf({ ranges }: ProtectionState, own: XenOwnState | undefined): AccessRange[] {
  const plain = ranges.map(({ start, end, rights }) => ({ start, end, access: accessOfRights(rights) }));
  return [...plain, ...(own?.conversions ?? [])];
}

function defaultOf({ otherwise }: ProtectionState, own: XenOwnState | undefined): XenAccessType {
  const isMeant = own !== undefined && sameRights(rightsOfAccess(own.defaultAccess), otherwise);
  return isMeant ? own.defaultAccess : accessOfRights(otherwise);
}
