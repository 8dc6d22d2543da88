import {
  createFrameAllocator,
  createRam,
  type Gfn,
  PAGE_WORDS,
  type PageView,
  type Pfn,
  type PhysicalMemory,
  type VirtualAddress,
} from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { Capabilities, PolicyOwner } from '../capabilities.ts';
import type { HypervisorEvent } from '../event.ts';
import type { ProtectionResult } from '../result.ts';
import { formatRights, type ProtectionRange, type Rights, sameRights } from '../rights.ts';
import type { BackendEvent, VirtualMachine } from '../virtual-machine.ts';
import { buildDescriptors, buildGuestTables, DIRECT_MAP, REGISTERS, USER_MAP } from './kit-memory.ts';
import { createModel, type RightsModel } from './model.ts';
import { type ConformanceSetup, type GuestCalls, type LifeStep, require } from './setup.ts';

const SCRATCH = 0x60;
/** Host frame of guest frame 0: aligned to 1 GiB, so that every leaf size can be used, and behind every guest frame. */
const BACKING = 0x8_0000 as Pfn;
const HOST_TABLES = { start: 0x1000 as Pfn, end: 0x9000 as Pfn };

/** Guest memory: 1 GiB, and 4 MiB behind it in a region of its own. */
export const FIRST_REGION = { start: 0 as Gfn, frames: 0x4_0000 };
export const SECOND_REGION = { start: 0x4_0000 as Gfn, frames: 0x400 };

/** Frames whose bytes no request may change: the guest's tables, code and data that it is asked about. */
const WATCHED = [0, 0x20, ...Array.from({ length: SCRATCH - 0x40 }, (_, i) => 0x40 + i), 0x200, 0x201, 0x300];

export const ALL: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };

type ProtectedEvent = Extract<HypervisorEvent, { type: 'protected' }>;
/** An access that was refused. */
export type DeniedEvent = Extract<HypervisorEvent, { type: 'denied' }>;

/** A machine of the backend, with a guest in it and a model of what it must allow. */
export interface KitGuest {
  readonly vm: VirtualMachine;
  /** What the backend declares. */
  readonly capabilities: Capabilities;
  readonly vcpus: readonly Vcpu[];
  readonly calls: GuestCalls | undefined;
  /** What the set-up adds to random lives. */
  readonly lives: readonly LifeStep[];
  /** Guest frames with bytes of their own, by now. */
  readonly touched: readonly number[];
  readonly model: RightsModel;
  readonly events: BackendEvent[];
  /** Asks as the owner, checks the answer and brings the model up to date. `false`: refused, as it may be. */
  protect(ranges: readonly ProtectionRange[]): boolean;
  /** The same as the guest, on its first virtual CPU. Only with {@link calls}. */
  request(ranges: readonly ProtectionRange[]): boolean;
  /** What was done to the machine past {@link protect} and {@link request} is in force from here on. */
  bringIntoForce(): void;
  /** What accesses on `vcpu` really can do. */
  probe(gfn: number, vcpu?: Vcpu): Rights;
  /** Compares accesses and read-back of `frames` with the model, on all virtual CPUs. */
  check(frames: readonly number[], when: string): void;
  /** Compares only the read-back: it must never grant more than the model. */
  checkReadBack(frames: readonly number[], when: string): void;
  /** What all requests for rights were answered, by their events. */
  answers(): readonly ProtectionResult[];
  /** Events of denied accesses since the kit last looked. */
  takeDenials(): readonly DeniedEvent[];
  /** A virtual CPU gets the kit's registers again, and a GDT that nothing was loaded from. */
  restart(vcpu: Vcpu): void;
  /** Host frame of a guest frame. */
  backing(gfn: number): Pfn;
  /** The bytes of a guest frame, as words. */
  words(gfn: number): Uint32Array;
  /** A digest of guest memory that no request may change. */
  memoryDigest(): string;
  /** No event may tell of damage to the host. */
  checkHost(): void;
}

const isAnswer = (event: BackendEvent): event is ProtectedEvent => event.type === 'protected';

/** A range of the contract. */
export function rangeOf(start: number, end: number, rights: Rights, immutable = false): ProtectionRange {
  return { start: start as Gfn, end: end as Gfn, rights, ...(immutable ? { immutable } : {}) };
}

/** `rwxu` letters as rights. */
export function rightsOf(letters: string): Rights {
  return {
    read: letters.includes('r'),
    write: letters.includes('w'),
    supervisorExecute: letters.includes('x'),
    userExecute: letters.includes('u'),
  };
}

export function createKitGuest<Machine extends VirtualMachine, Event extends BackendEvent>(
  { hypervisor, guestCalls, lives }: ConformanceSetup<Machine, Event>,
  vcpuCount = 1,
): KitGuest {
  const { capabilities } = hypervisor;
  const frames = FIRST_REGION.frames + SECOND_REGION.frames;
  const ram = createRam<Pfn>({
    ranges: [HOST_TABLES, { start: BACKING, end: (BACKING + frames) as Pfn }],
  });
  const touched = new Set<number>();
  const host: PhysicalMemory<Pfn> = {
    page: (frame) => ram.page(frame),
    writablePage(frame) {
      if (frame >= BACKING) touched.add(frame - BACKING);
      return ram.writablePage(frame);
    },
  };
  const events: BackendEvent[] = [];
  const vm = hypervisor.createVirtualMachine({
    host: { memory: host, frames: createFrameAllocator<Pfn>({ ranges: [HOST_TABLES] }) },
    onEvent: (event) => events.push(event),
  });
  for (const { start, frames } of [FIRST_REGION, SECOND_REGION]) {
    vm.addMemory({ start, frames, backing: (BACKING + start) as Pfn });
  }
  const words = (gfn: number): Uint32Array => {
    const page = host.writablePage((BACKING + gfn) as Pfn);
    require(page !==
      undefined, `guest frame 0x${gfn.toString(16)} has no memory: expected a frame of the kit`);
    return page;
  };
  buildGuestTables(words);
  const model = createModel(capabilities);
  const vcpus: Vcpu[] = [];
  for (let i = 0; i < vcpuCount; i++) {
    vcpus.push(vm.createVcpu({ registers: REGISTERS, onException: () => 'fatal' }));
  }
  const [first] = vcpus;
  require(first !== undefined, `${vcpuCount} virtual CPUs: expected one at least`);
  const places = {
    vm,
    vcpu: first,
    memory: host,
    backing: BACKING,
    scratch: SCRATCH,
    directMap: DIRECT_MAP,
  };
  const calls = guestCalls?.(places);
  let seen = 0;

  const restart = (vcpu: Vcpu): void => {
    if (vcpu.halted !== undefined) vcpu.reset();
    Object.assign(vcpu.registers, REGISTERS);
    buildDescriptors(words);
  };
  const bringIntoForce = (): void => {
    if (capabilities.inForce === 'on-flush') vm.flush();
  };
  /** The one event that a request gives. */
  const reported = (before: number, who: string): ProtectedEvent => {
    const answers = events.slice(before).filter(isAnswer);
    const [event] = answers;
    require(event !== undefined &&
      answers.length ===
        1, `a request of ${who} gives ${answers.length} events of type protected: expected 1`);
    return event;
  };
  /** Makes one access; a virtual CPU that the verdict stopped goes on for the next. */
  const attempt = (vcpu: Vcpu, cpl: 0 | 3, access: () => boolean): boolean => {
    vcpu.registers.cpl = cpl;
    const done = access();
    if (vcpu.halted !== undefined) restart(vcpu);
    vcpu.registers.cpl = 0;
    return done;
  };
  const answer = (
    result: ProtectionResult,
    ranges: readonly ProtectionRange[],
    userExecutionSaid: boolean,
  ): boolean => {
    const { refused, applied, weakened } = result;
    const keep = capabilities.failure === 'all-or-nothing' && refused !== undefined ? 0 : applied;
    require(refused === undefined
      ? applied === ranges.length
      : applied === keep &&
          applied <=
            refused.at, `${applied} of ${ranges.length} ranges applied, ${refused === undefined ? 'none refused' : `refused at ${refused.at}`}`);
    for (const [index, range] of ranges.slice(0, applied).entries()) {
      const granted = model.granted(range.rights);
      const same =
        sameRights(granted, range.rights) ||
        (!userExecutionSaid &&
          sameRights({ ...granted, userExecute: false }, { ...range.rights, userExecute: false }));
      const told = weakened.filter((w) => w.range.start === range.start && w.range.end === range.end);
      const wanted = `range ${index} asked for ${formatRights(range.rights)}, can have ${formatRights(granted)}`;
      require(same ||
        told.some((w) => sameRights(w.granted, granted)), `${wanted}: not reported as weakened to that`);
      model.set(range.start, range.end, range.rights);
    }
    if (refused === undefined) return true;
    const culprit = ranges[refused.at];
    require(refused.why === 'unsupported' &&
      culprit !== undefined &&
      !sameRights(
        model.granted(culprit.rights),
        culprit.rights,
      ), `refused as ${refused.why} at ${refused.at}: expected success`);
    return false;
  };

  const protect = (ranges: readonly ProtectionRange[]): boolean => {
    const before = events.length;
    const result = vm.protect(ranges);
    const { by } = reported(before, 'the owner');
    require(by === ownerName(capabilities.policyOwner), `a request of the owner is reported as one of ${by}`);
    const taken = answer(result, ranges, true);
    bringIntoForce();
    return taken;
  };
  const request = (ranges: readonly ProtectionRange[]): boolean => {
    require(calls !== undefined, 'the set-up has no guest calls');
    const before = events.length;
    const success = calls.request(first, ranges);
    const { by, result } = reported(before, 'the guest');
    require(by === 'guest', `a request of the guest is reported as one of ${by}`);
    require(success === (result.refused === undefined), 'the guest and the event have different answers');
    // A wire format need not be able to express user execution: then no request denied it.
    const said = ranges.map((range) => ({
      ...range,
      rights: calls.asksFor?.(range.rights) ?? range.rights,
    }));
    const taken = answer(
      result,
      said,
      !['supervisor-only', 'never-denied'].includes(capabilities.executeSplit),
    );
    bringIntoForce();
    return taken;
  };
  /** As many calls as the declaration says that it takes. */
  const inCalls = (wanted: readonly ProtectionRange[], ask: typeof protect): boolean => {
    const ranges = capabilities.largePages === 'split-by-caller' ? wanted.flatMap(pages) : wanted;
    const { rangesPerCall = ranges.length } = capabilities;
    for (let at = 0; at < ranges.length; at += rangesPerCall) {
      if (!ask(ranges.slice(at, at + rangesPerCall))) return false;
    }
    return true;
  };

  const guest: KitGuest = {
    vm,
    capabilities,
    vcpus,
    calls,
    lives: lives?.(places) ?? [],
    get touched() {
      return [...touched];
    },
    model,
    events,
    restart,
    bringIntoForce,
    words,
    backing: (gfn) => (BACKING + gfn) as Pfn,
    memoryDigest: () => WATCHED.map((gfn) => digestOf(host.page((BACKING + gfn) as Pfn))).join(),
    protect: (wanted) => inCalls(wanted, protect),
    request: (wanted) => inCalls(wanted, request),
    probe(gfn, vcpu = first) {
      // No byte of it is what an instruction reads that was skipped.
      const pattern = 0x5a01_01a5 + (gfn % 0xff) * 0x100;
      const page = words(gfn);
      page[0] = pattern;
      page[0x200] = 0;
      const at = BigInt(gfn) << 12n;
      const kernel = (DIRECT_MAP + at) as VirtualAddress;
      const user = (USER_MAP + at) as VirtualAddress;
      // What the access did counts, not how the instruction ended: a verdict may be to skip it.
      const load = (va: VirtualAddress): boolean => {
        const outcome = vcpu.load(va, 4);
        return outcome.kind === 'done' && Number(outcome.value) === pattern;
      };
      const store = (va: VirtualAddress): boolean => {
        page[0x200] = 0;
        vcpu.store((va + 0x800n) as VirtualAddress, 4, 1n);
        return page[0x200] === 1;
      };
      const fetch = (va: VirtualAddress): boolean => {
        const outcome = vcpu.fetch(va, 1);
        return outcome.kind === 'done' && outcome.value[0] === pattern % 256;
      };
      const rights: Rights = {
        read: attempt(vcpu, 0, () => load(kernel)),
        write: attempt(vcpu, 0, () => store(kernel)),
        supervisorExecute: attempt(vcpu, 0, () => fetch(kernel)),
        userExecute: attempt(vcpu, 3, () => fetch(user)),
      };
      require(attempt(vcpu, 3, () => load(user)) === rights.read &&
        attempt(vcpu, 3, () => store(user)) ===
          rights.write, `frame 0x${gfn.toString(16)}: data accesses at CPL 3 and at CPL 0 are judged differently`);
      return rights;
    },
    check(frames, when) {
      guest.checkReadBack(frames, when);
      for (const gfn of frames) {
        const expected = model.of(gfn);
        for (const vcpu of vcpus) {
          const got = guest.probe(gfn, vcpu);
          require(sameRights(
            got,
            expected,
          ), `${when}: accesses to frame 0x${gfn.toString(16)} on virtual CPU ${vcpu.id} can do ${formatRights(got)}, expected ${formatRights(expected)}`);
        }
      }
      guest.checkReadBack(frames, `${when}, after accesses`);
    },
    checkReadBack(frames, when) {
      for (const gfn of frames) {
        const expected = model.of(gfn);
        const back = vm.effectiveRights(gfn as Gfn);
        require(back !== undefined, `${when}: frame 0x${gfn.toString(16)} reads back as no memory`);
        // A leaf may grant less for now (it is rebuilt at the next access), and never more.
        const more =
          (back.read && !expected.read) ||
          (back.write && !expected.write) ||
          (back.supervisorExecute && !expected.supervisorExecute) ||
          (back.userExecute && !expected.userExecute);
        require(!more, `${when}: frame 0x${gfn.toString(16)} reads back as ${formatRights(back)}, expected ${formatRights(expected)}`);
      }
    },
    answers: () => events.filter(isAnswer).map(({ result }) => result),
    takeDenials() {
      const denials = events.slice(seen).filter((event): event is DeniedEvent => event.type === 'denied');
      seen = events.length;
      return denials;
    },
    checkHost() {
      for (const event of events) {
        if ('defect' in event) {
          require(false, `the host was harmed: ${event.type}, ${String(event.defect)}`);
        }
      }
    },
  };
  return guest;
}

function digestOf(words: PageView | undefined): number {
  let sum = 0;
  for (let index = 0; index < PAGE_WORDS; index++) sum = (Math.imul(sum, 31) + (words?.[index] ?? 0)) | 0;
  return sum;
}

/** A range for each frame. */
function pages(range: ProtectionRange): readonly ProtectionRange[] {
  if (range.end - range.start <= 1) return [range];
  return Array.from({ length: range.end - range.start }, (_, i) => {
    const start = (range.start + i) as Gfn;
    return { ...range, start, end: (start + 1) as Gfn };
  });
}

/** Whose request {@link VirtualMachine.protect} is: where the guest's kernel owns the policy, that of the host's own code. */
export function ownerName(owner: PolicyOwner): 'vmm' | 'policy-owner' {
  return owner === 'guest-kernel' || owner === 'vmm' ? 'vmm' : 'policy-owner';
}
