import { type XenAccessType, XenError } from '@heki/hypercall/xen';
import {
  type AskedFrames,
  type Capabilities,
  createGuestRegions,
  HypervisorError,
  VcpuWaits,
  type VirtualMachineOptions,
  waitForEntry,
} from '@heki/hypervisor';
import { frameOf, type Gfn, type Gpa, PHYSICAL_ADDRESS_END, writeBytes } from '@heki/physical-memory';
import { createVcpu, type Vcpu } from '@heki/vcpu';
import { checkpointDomain, digestDomain } from './checkpoint.ts';
import type { XenDomain } from './domain.ts';
import { type DomainState, flush, setAccess, useView } from './domain-state.ts';
import type { XenEvent } from './event.ts';
import { handleExit } from './exit/exit.ts';
import { createMemoryPolicy } from './monitor/enforce.ts';
import { createMonitor } from './monitor/monitor.ts';
import { createPins } from './monitor/pins.ts';
import type { ResolvedOptions } from './options.ts';
import { rightsOfAccess } from './p2m/access-rights.ts';
import { createP2m } from './p2m/p2m.ts';
import { FULL_ACCESS } from './p2m/view.ts';
import { restoreState, saveState } from './state/saved-state.ts';
import { createStatistics } from './statistics.ts';
import { createEventChannel } from './vm-event/event-channel.ts';

const ALL_BITS = 0xffff_ffff_ffff_ffffn;

/** XEN_DOMCTL_createdomain, and the monitor that attaches itself before the guest runs. */
export function createXenDomain(
  options: ResolvedOptions,
  capabilities: Capabilities,
  { host, onEvent, onYield }: VirtualMachineOptions<XenEvent>,
): XenDomain {
  const regions = createGuestRegions(host.memory, (start, end) => {
    const asked: AskedFrames[] = [];
    policy.forEachRun(start, end, (immutable, first, last) => {
      let next = first;
      const add = (access: XenAccessType, from: Gfn, to: Gfn): void => {
        if (from < to) asked.push({ start: from, end: to, rights: rightsOfAccess(access), immutable });
      };
      p2m.host.forEachAccess(first, last, (access, from, to) => {
        if (immutable) add(p2m.host.defaultAccess, next, from);
        add(access, from, to);
        next = to;
      });
      if (immutable) add(p2m.host.defaultAccess, next, last);
    });
    return asked;
  });
  const p2m = createP2m(host, options.processor, regions);
  const statistics = createStatistics();
  const channel = createEventChannel({
    kick: () => {
      if (options.monitor === 'at-once') monitor.run();
    },
    statistics,
    emit: onEvent,
  });
  const state: DomainState = {
    options,
    host,
    regions,
    p2m,
    vcpus: [],
    views: new Map(),
    once: new Set(),
    injections: new Map(),
    shutdown: undefined,
    channel,
    statistics,
    emit: onEvent,
    onYield,
    suspended: false,
  };
  const policy = createMemoryPolicy(state, capabilities);
  const pins = createPins(state.vcpus);
  const subscribe = (): void => {
    const msrs = pins.held.all.flatMap((register) => (typeof register === 'object' ? [register.msr] : []));
    for (const { controls, registers } of state.vcpus) {
      // Without a monitor that asked for them, writes of control registers stay in the guest.
      controls.cr0Mask = pins.cr0 === 0n ? 0n : ALL_BITS;
      controls.cr4Mask = pins.cr4 === 0n ? 0n : ALL_BITS;
      controls.cr0Shadow = registers.cr0;
      controls.cr4Shadow = registers.cr4;
      controls.writeExitingMsrs = new Set(msrs);
      controls.descriptorTableExiting = pins.held.all.some((register) => typeof register === 'string');
    }
  };
  const monitor = createMonitor({ domain: state, policy, pins, page: channel.page, subscribe });

  const parts = { domain: state, policy, pins, monitor, capabilities, subscribe };

  /** Takes back all that is enforced. Which virtual CPUs took INIT stays known. */
  function clear(): void {
    policy.replace([]);
    regions.hostFrames.replace([]);
    p2m.host.replace(FULL_ACCESS);
    flush(state);
    pins.replace({ cr0: 0n, cr4: 0n, vcpus: pins.save() });
    subscribe();
  }

  function restart(vcpu: Vcpu, how: 'init' | 'reset'): void {
    useView(state, vcpu, p2m.host);
    channel.forget(vcpu);
    state.injections.delete(vcpu.id);
    vcpu[how]();
    pins.unbind(vcpu.id);
    subscribe();
  }

  return {
    addMemory(region) {
      regions.add(region);
      if (!p2m.host.populate(region)) throw new HypervisorError('no host frame is left for p2m tables');
      const end = (region.start + region.frames) as Gfn;
      for (const view of p2m.views) view?.updateOtherNames(region.start, end);
      flush(state);
    },
    removeMemory(start) {
      const region = regions.remove(start);
      for (const view of p2m.views) view?.drop(region.start, (region.start + region.frames) as Gfn);
      flush(state);
    },
    createVcpu(setup = {}) {
      const vcpu = createVcpu({
        ...setup,
        id: state.vcpus.length,
        memory: host.memory,
        processor: options.processor,
        secondLevel: p2m.host.second(),
        root: p2m.host.root,
        onExit: (running, exit) => handleExit(state, running, exit),
      });
      state.vcpus.push(vcpu);
      state.views.set(vcpu, p2m.host);
      subscribe();
      return vcpu;
    },
    vcpus: state.vcpus,
    effectiveRights(gfn) {
      const region = regions.find(gfn);
      if (region === undefined) return undefined;
      const first = state.vcpus[0];
      const view = (first && state.views.get(first)) ?? p2m.host;
      const leaf = view.editor.leaf(gfn);
      if (leaf === undefined) {
        const rights = view.rightsOf(gfn);
        return { ...rights, write: rights.write && region.readOnly !== true, present: false };
      }
      const execute = (leaf.entry.low & 4) !== 0;
      return {
        read: (leaf.entry.low & 1) !== 0,
        write: (leaf.entry.low & 2) !== 0,
        supervisorExecute: execute,
        userExecute: execute,
        present: true,
      };
    },
    flush: () => flush(state),
    protect(ranges) {
      const result = policy.protect(ranges, 'policy-owner');
      onEvent?.({ type: 'protected', by: 'policy-owner', result });
      return result;
    },
    pin: (request) => monitor.pin('policy-owner', request),
    write(writer, gpa, bytes) {
      if (bytes.length === 0) return { ok: true };
      if (gpa + bytes.length > PHYSICAL_ADDRESS_END) return { ok: false, why: 'not-memory', at: gpa };
      const last = frameOf((gpa + bytes.length - 1) as Gpa);
      for (let gfn = frameOf(gpa); gfn <= last; gfn = (gfn + 1) as Gfn) {
        const region = regions.find(gfn);
        const at = Math.max(gpa, gfn * 4096) as Gpa;
        if (region === undefined || regions.memory.page(gfn) === undefined)
          return { ok: false, why: 'not-memory', at };
        const bound = writer === 'dma' && options.iommuSharesP2m;
        const readOnly = writer !== 'vmm' && region.readOnly === true;
        if (readOnly || (bound && !p2m.host.rightsOf(gfn).write)) return { ok: false, why: 'denied', at };
      }
      writeBytes(regions.memory, gpa, bytes);
      return { ok: true };
    },
    lifeCycle(event) {
      if (event.kind === 'init') {
        const vcpu = state.vcpus[event.vcpu];
        if (vcpu === undefined) {
          throw new HypervisorError(`no virtual CPU ${event.vcpu}: expected 0 to ${state.vcpus.length - 1}`);
        }
        waitForEntry(vcpu);
        restart(vcpu, 'init');
        return;
      }
      if (state.suspended) throw new VcpuWaits('a request is under way');
      if (event.kind === 'reset') state.vcpus.forEach(waitForEntry);
      if (options[event.kind] === 'clear') clear();
      if (event.kind === 'reset') {
        state.shutdown = undefined;
        for (const vcpu of state.vcpus) restart(vcpu, 'reset');
      }
    },
    save: () => saveState(parts),
    restore(wanted) {
      restoreState(parts, wanted);
      return true;
    },
    checkpoint: () => checkpointDomain(parts),
    digest: (digest) => digestDomain(parts, digest),

    views: {
      create: (defaultAccess) => p2m.createView(defaultAccess),
      destroy(index) {
        const view = p2m.views[index];
        if (view === undefined || [...state.views.values()].includes(view)) return -XenError.EINVAL;
        return p2m.destroyView(index);
      },
      switchTo(index, vcpu) {
        const view = p2m.views[index];
        if (view === undefined) return -XenError.EINVAL;
        for (const each of vcpu === undefined ? state.vcpus : [vcpu]) {
          useView(state, each, view);
          onEvent?.({ type: 'view-switched', vcpu: each.id, view: index });
        }
        return 0;
      },
      setAccess(index, start, end, access) {
        const view = p2m.views[index];
        return view === undefined
          ? { pages: 0, error: -XenError.EINVAL }
          : setAccess(state, view, start, end, access);
      },
      setDefault(index, access) {
        const view = p2m.views[index];
        if (view === undefined) return -XenError.EINVAL;
        const error = p2m.setDefault(view, access);
        flush(state);
        return error;
      },
      accessOf: (index, gfn) => p2m.views[index]?.accessOf(gfn),
    },
    runMonitor: (most) => monitor.run(most),
    ring: channel.page,
    statistics,
    get tablePages() {
      return p2m.views.reduce((sum, view) => sum + (view?.editor.tables ?? 0), 0);
    },
  };
}
