import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Pfn,
  type VirtualAddress,
} from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import type { Denial, Verdict } from '../denial.ts';
import type { HypervisorEvent } from '../event.ts';
import type { ProtectionResult } from '../result.ts';
import { formatRights, type ProtectionRange, type Rights, sameRights } from '../rights.ts';
import type { BackendEvent, VirtualMachine } from '../virtual-machine.ts';
import { createModel, type RightsModel } from './model.ts';
import { type ConformanceSetup, type GuestCalls, require } from './setup.ts';

const DIRECT_MAP = 0xffff_8880_0000_0000n;
const USER_MAP = 0x0000_1000_0000_0000n;
const TABLES = 0x40;
const SCRATCH = 0x60;
/** Host frame of guest frame 0: aligned to 1 GiB, so that every leaf size can be used. */
const BACKING = 0x40_0000 as Pfn;
const HOST_TABLES = { start: 0x1000 as Pfn, end: 0x9000 as Pfn };

/** Guest memory: 1 GiB, and 4 MiB behind it in a region of its own. */
export const FIRST_REGION = { start: 0 as Gfn, frames: 0x4_0000 };
export const SECOND_REGION = { start: 0x4_0000 as Gfn, frames: 0x400 };

export const ALL: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };
/** The kit's registers: 64-bit mode, CPL 0, every protection that guests usually have. */
const REGISTERS = {
  cr0: CR0.PG | CR0.WP | CR0.AM | CR0.NE | CR0.ET | CR0.MP | CR0.PE,
  cr3: BigInt(TABLES) << 12n,
  cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE,
  efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
  codeSegment64: true,
  cpl: 0,
  rip: (DIRECT_MAP + 0x100_0000n) as VirtualAddress,
} as const;

/** A machine of the backend, with a guest in it and a model of what it must allow. */
export interface KitGuest {
  readonly vm: VirtualMachine;
  readonly vcpus: readonly Vcpu[];
  readonly calls: GuestCalls | undefined;
  readonly model: RightsModel;
  readonly events: BackendEvent[];
  /** Asks as the owner, checks the answer and brings the model up to date. `false`: refused, as it may be. */
  protect(ranges: readonly ProtectionRange[]): boolean;
  /** The same as the guest, on its first virtual CPU. Only with {@link calls}. */
  request(ranges: readonly ProtectionRange[]): boolean;
  /** What accesses on `vcpu` really can do. */
  probe(gfn: number, vcpu?: Vcpu): Rights;
  /** Compares accesses and read-back of `frames` with the model, on all virtual CPUs. */
  check(frames: readonly number[], when: string): void;
  /** Compares only the read-back: it must never grant more than the model. */
  checkReadBack(frames: readonly number[], when: string): void;
  /** Events of denied accesses since the kit last looked. */
  takeDenials(): { readonly denial: Denial; readonly verdict: Verdict }[];
  /** A virtual CPU gets the kit's registers again. */
  restart(vcpu: Vcpu): void;
  /** Host frame of a guest frame. */
  backing(gfn: number): Pfn;
  /** No event may tell of damage to the host. */
  checkHost(): void;
}

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
  { hypervisor, guestCalls }: ConformanceSetup<Machine, Event>,
  vcpuCount = 1,
): KitGuest {
  const { capabilities } = hypervisor;
  const frames = FIRST_REGION.frames + SECOND_REGION.frames;
  const ram = createRam<Pfn>({
    ranges: [HOST_TABLES, { start: BACKING, end: (BACKING + frames) as Pfn }],
  });
  const events: BackendEvent[] = [];
  const vm = hypervisor.createVirtualMachine({
    host: { memory: ram, frames: createFrameAllocator<Pfn>({ ranges: [HOST_TABLES] }) },
    onEvent: (event) => events.push(event),
  });
  for (const { start, frames } of [FIRST_REGION, SECOND_REGION]) {
    vm.addMemory({ start, frames, backing: (BACKING + start) as Pfn });
  }
  const words = (gfn: number): Uint32Array => {
    const page = ram.writablePage((BACKING + gfn) as Pfn);
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
  const calls = guestCalls?.({
    vm,
    vcpu: first,
    memory: ram,
    backing: BACKING,
    scratch: SCRATCH,
    directMap: DIRECT_MAP,
  });
  let seen = 0;

  const restart = (vcpu: Vcpu): void => {
    if (vcpu.halted !== undefined) vcpu.reset();
    Object.assign(vcpu.registers, REGISTERS);
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
    reported: boolean,
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
        (!reported &&
          sameRights({ ...granted, userExecute: false }, { ...range.rights, userExecute: false }));
      const told = weakened.some((w) => w.range.start === range.start && w.range.end === range.end);
      require(same ||
        told, `range ${index} asked for ${formatRights(range.rights)}, can have ${formatRights(granted)}: not reported as weakened`);
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

  const guest: KitGuest = {
    vm,
    vcpus,
    calls,
    model,
    events,
    restart,
    backing: (gfn) => (BACKING + gfn) as Pfn,
    protect: (ranges) => {
      const result = vm.protect(ranges);
      const taken = answer(result, ranges, true);
      if (capabilities.inForce === 'on-flush') vm.flush();
      return taken;
    },
    request(ranges) {
      require(calls !== undefined, 'the set-up has no guest calls');
      const before = events.length;
      const success = calls.request(first, ranges);
      const answered = events
        .slice(before)
        .findLast(
          (event): event is Extract<HypervisorEvent, { type: 'protected' }> => event.type === 'protected',
        );
      require(answered !== undefined, 'a request of the guest gives no event of type protected');
      require(success ===
        (answered.result.refused === undefined), 'the guest and the event have different answers');
      // A wire format need not have words for user execution, which then nobody asked to deny.
      const said = ranges.map((range) => ({
        ...range,
        rights: calls.asksFor?.(range.rights) ?? range.rights,
      }));
      return answer(
        answered.result,
        said,
        !['supervisor-only', 'never-denied'].includes(capabilities.executeSplit),
      );
    },
    probe(gfn, vcpu = first) {
      const pattern = 0x5aa5_0000 + (gfn % 0x1_0000);
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
    takeDenials() {
      const denials = events.slice(seen).filter((event) => event.type === 'denied');
      seen = events.length;
      return denials as Extract<HypervisorEvent, { type: 'denied' }>[];
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

/** 1 GiB leaves for the kernel and for user code over both regions. */
function buildGuestTables(words: (gfn: number) => Uint32Array): void {
  const put = (gfn: number, index: number, low: number): void => {
    words(gfn)[2 * index] = low;
  };
  for (const [index, table, user] of [
    [273, TABLES + 1, 0],
    [32, TABLES + 2, 4],
  ] as const) {
    put(TABLES, index, table * 4096 + 0x63 + user);
    for (let giga = 0; giga < 2; giga++) put(table, giga, giga * 2 ** 30 + 0xe3 + user);
  }
}
