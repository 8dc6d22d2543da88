import { decodePageList, KvmHypercall, MEM_ATTR_IMMUTABLE, permissionText } from '@heki/hypercall/kvm';
import type { BackendEvent, HypervisorEvent, Refusal, VirtualMachine } from '@heki/hypervisor';
import type { KvmEvent } from '@heki/kvm';
import {
  type Attack,
  createMachine,
  describeTraceEvent,
  findTargets,
  keptBits,
  type Machine,
  type MachineOptions,
  type MachineSpecification,
  machineSettings,
  runAttacks,
  SNAPSHOT_ATTACKS,
  standingOf,
  type TraceEvent,
} from '@heki/machine';
import { type Gfn, joinedRanges, type PhysicalMemory } from '@heki/physical-memory';
import type { CpuProfile } from '@heki/x86';
import type { Backend } from '../backend.ts';
import { makesKvmHypercalls } from '../hypervisors.ts';
import type { ImageMemory } from '../image/image-memory.ts';
import { protectsMemory } from '../verdict/refusal.ts';
import { rightsWarnings } from '../verdict/rights-warnings.ts';
import { crashKernelPages } from './crash-kernel.ts';
import { isClaimed, lookAtRights } from './granted-rights.ts';
import { machineOfSubject } from './machine-of-subject.ts';
import { findOutsideDirectMap } from './outside-direct-map.ts';
import { pinWarnings } from './pinned-bits.ts';
import type { HypercallRecord, ListedRange, PageCount, ProtectReport } from './report.ts';
import type { Subject } from './subject.ts';

/** How the kernel is protected. */
export interface ProtectSettings {
  /** What the snapshot leaves open: the hypervisor and the defects. */
  readonly machine: MachineSpecification;
  /** The hypervisor that it names. */
  readonly backend: Backend;
  /** Attacks of the user's own, tried after those that come with heki. */
  readonly attacks: readonly Attack[];
  /** A kernel's own configuration and where it comes from. Default: one that suits Heki. */
  readonly kernelConfig?: ProtectReport['kernelConfig'];
  /** The kernel's image, for what the snapshot lacks of its text and constants. */
  readonly image?: Pick<ImageMemory, 'physical'> | undefined;
  readonly strict: boolean;
  readonly trace: boolean;
}

/** Protects the kernel of `subject` and attacks it, once with Heki and once without. */
export function protectKernel(subject: Subject, settings: ProtectSettings): ProtectReport {
  const { processor, tables, symbols } = subject;
  const { profile, defects, ...machine } = machineSettings(settings.machine);
  const { backend } = settings;
  const attacks = [...SNAPSHOT_ATTACKS, ...settings.attacks];
  const targets = findTargets(tables, symbols);
  const recorder = createRecorder(() => first.machine.memory);
  const options: MachineOptions<VirtualMachine, BackendEvent> = {
    ...machineOfSubject(backend, settings.machine, subject),
    kernel: tables,
    contents: settings.image?.physical,
    kernelConfig: settings.kernelConfig?.config,
  };
  const { hypervisor } = options;

  const without = runAttacks({
    createMachine: () => createMachine({ ...options, heki: false }),
    targets,
    attacks,
  });

  const trace: string[] = [];
  const boot = (onEvent?: (event: TraceEvent) => void) => {
    const machine = createMachine({ ...options, onEvent });
    return { machine, init: () => ({ early: machine.earlyInit(), late: machine.lateInit() }) };
  };
  let listening = true;
  let recording = true;
  const first = boot((event) => {
    if (!listening) return;
    if (recording && makesKvmHypercalls(backend)) recorder.kvmEvent(event);
    else if (recording) recorder.neutralEvent(event);
    if (settings.trace) trace.push(describeTraceEvent(hypervisor, event));
  });
  const { early, late } = first.init();
  const pinned = recorder.pinned();
  const inForce = protectsMemory(late) && !recorder.hypercalls.some(({ result }) => result < 0);
  const granted = lookAtRights(subject, first.machine);
  const sent = allRanges(recorder.hypercalls.filter(({ result }) => result === 0));
  /** The last one that was attacked. */
  let standing: Machine = first.machine;
  const bootAgain = (): Machine => {
    const again = boot();
    again.init();
    standing = again.machine;
    return standing;
  };
  const machineThatStands = (): Machine => (standing.vcpu.halted === undefined ? standing : bootAgain());
  // What an attacker asks for is none of the kernel's requests.
  recording = false;
  let isFresh = first.machine.vcpu.halted === undefined;
  const nextMachine = (): Machine => {
    const machine = isFresh ? standing : bootAgain();
    isFresh = false;
    return machine;
  };
  const attacked = runAttacks({ targets, attacks, createMachine: nextMachine });
  listening = false;
  const kept = keptBits(pinned, machineThatStands);

  return {
    subject,
    profile,
    strict: settings.strict,
    defects,
    secureKernel: machine.secureKernel,
    mbec: machine.mbec && hasExecuteControl(processor.cpu),
    backend,
    kernelConfig: settings.kernelConfig,
    addedMemory: first.machine.addedMemory,
    early,
    late,
    pinned,
    kept,
    hypercalls: recorder.hypercalls,
    pages: countPages(recorder.hypercalls),
    weakenedPages: recorder.weakenedPages(),
    granted,
    inForce,
    outsideDirectMap: findOutsideDirectMap(subject, granted.mappings, sent),
    crashKernel: crashKernelPages(subject, sent),
    attacks: attacks.flatMap((attack, index) => {
      const plain = without[index];
      const protectedResult = attacked[index];
      if (plain === undefined || protectedResult === undefined) return [];
      const compared = { attack, without: plain, with: protectedResult };
      const claimed = inForce && isClaimed(attack, first.machine, granted, protectedResult.target);
      return [{ ...compared, standing: standingOf(compared), claimed }];
    }),
    pageTablesOnly: without.some(({ steps }) => steps.some(({ contentsAbsent }) => contentsAbsent)),
    warnings: [
      ...subject.warnings,
      ...processor.warnings,
      ...pinWarnings(pinned, kept),
      ...rightsWarnings(granted.rights, { tables: granted.tables, inForce }),
    ],
    log: recorder.log,
    hostLog: recorder.hostLog,
    trace: settings.trace ? trace : undefined,
  };
}

/** Whether the second level can take execution from the kernel alone: MBEC, or on AMD GMET. */
function hasExecuteControl({ ept, npt }: CpuProfile): boolean {
  return ept?.modeBasedExecute === true || npt?.gmet === true;
}

/** Picks out of the trace what the report tells. */
function createRecorder(memory: () => PhysicalMemory<Gfn>) {
  const hypercalls: HypercallRecord[] = [];
  const log: string[] = [];
  const hostLog: string[] = [];
  let weakened = 0;
  let why: Refusal | undefined;
  let pinned = { cr0: 0n, cr4: 0n };

  /** What every backend reports alike. */
  const common = ({ from, event }: TraceEvent): void => {
    if (from === 'guest' && event.type === 'log') log.push(event.text);
    if (from === 'machine' && event.type === 'driver-warning') log.push(event.text);
    if (from !== 'hypervisor' || !isCommon(event)) return;
    if (event.type === 'log') hostLog.push(event.text);
    if (event.type === 'protected') {
      why = event.result.refused?.why;
      weakened += event.result.weakened.reduce((sum, { range }) => sum + range.end - range.start, 0);
    }
    if (event.type === 'pinned') why = event.result.refused;
    if (event.type === 'pinned' && event.result.refused === undefined) {
      // What an answered request pinned stays asked for: a backend that lets go of it at the next one is found by what is kept.
      pinned = { cr0: pinned.cr0 | event.result.cr0, cr4: pinned.cr4 | event.result.cr4 };
    }
  };
  /** What was reported of the request that ends here. */
  const taken = (): Refusal | undefined => {
    const reported = why;
    why = undefined;
    return reported;
  };
  return {
    hypercalls,
    log,
    hostLog,
    weakenedPages: () => weakened,
    pinned: () => pinned,
    /** An event where the guest makes KVM's hypercalls: they are told with their numbers. */
    kvmEvent(traced: TraceEvent): void {
      common(traced);
      if (traced.from !== 'hypervisor') return;
      const event = traced.event as KvmEvent;
      if (event.type !== 'hypercall') return;
      const number = Number(event.number);
      hypercalls.push({
        number,
        arguments: event.arguments,
        // The guest has freed the pages of the list, but it has not used them again.
        listPages: number === KvmHypercall.PROTECT_MEMORY ? readList(memory(), event.arguments[0]) : [],
        result: Number(BigInt.asIntN(64, event.result)),
        why: taken(),
      });
    },
    /** An event on any other hypervisor: what its driver asked for the core. */
    neutralEvent(traced: TraceEvent): void {
      common(traced);
      const { from, event } = traced;
      if (from === 'guest' && event.type === 'page-list') {
        const list = BigInt(event.list);
        hypercalls.push({
          number: undefined,
          arguments: [list],
          listPages: readList(memory(), list),
          result: event.result,
          why: taken(),
        });
      }
    },
  };
}

const COMMON_EVENTS: readonly string[] = ['denied', 'protected', 'pinned', 'log'];

function isCommon(event: BackendEvent): event is HypervisorEvent {
  return COMMON_EVENTS.includes(event.type);
}

function readList(memory: PhysicalMemory<Gfn>, list: bigint): ListedRange[][] {
  const decoded = decodePageList({ memory, list });
  if (!decoded.ok) return [];
  return decoded.pages.map(({ starts, ends, permissions }) =>
    Array.from(starts, (start, index) => ({
      start: start as Gfn,
      end: (ends[index] ?? start) as Gfn,
      permissions: permissionText(permissions[index] ?? 0),
      immutable: ((permissions[index] ?? 0) & MEM_ATTR_IMMUTABLE) !== 0,
    })),
  );
}

function allRanges(hypercalls: readonly HypercallRecord[]): ListedRange[] {
  return hypercalls.flatMap(({ listPages }) => listPages.flat());
}

function countPages(hypercalls: readonly HypercallRecord[]): Map<string, PageCount> {
  const ranges = allRanges(hypercalls);
  const framesOf = (some: readonly ListedRange[]): number =>
    joinedRanges(some).reduce((sum, { start, end }) => sum + end - start, 0);
  return new Map(
    ['r--', 'r-x', 'rw-', 'rwx'].map((permissions) => {
      const same = ranges.filter((range) => range.permissions === permissions);
      return [
        permissions,
        { pages: framesOf(same), immutable: framesOf(same.filter((one) => one.immutable)) },
      ];
    }),
  );
}
