import type { HekiHypervisor } from '@heki/guest';
import { encodePageList, type ProtectedRange } from '@heki/hypercall/kvm';
import type {
  BackendEvent,
  Capabilities,
  Hypervisor,
  VirtualMachine,
  VirtualMachineOptions,
} from '@heki/hypervisor';
import type { HekiDriver } from '@heki/machine';
import {
  addressOf,
  type Gfn,
  type Gpa,
  PAGE_WORDS,
  type Pfn,
  type StateDigest,
  type VirtualAddress,
} from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { GENERAL_REGISTERS, type Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import { ALIAS, DATA, FRAMES, MEMORY, REGION, TEXT } from './frames.ts';
import { createHostMemory, type HostMemory } from './host-memory.ts';
import { TableFrames } from './table-frames.ts';

/** A backend to be explored, and how its guests ask. */
export interface ExploredBackend {
  readonly name: string;
  /** Makes it anew: nothing of one machine is left in the next. */
  readonly create: () => Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
  readonly profile: Profile;
}

/** Host frame of guest frame 0: aligned to 1 GiB, so that large leaves can be used. */
const BACKING = 0x40_0000;
/** The host frames of {@link FRAMES}. */
const HELD = FRAMES.map((frame) => (BACKING + frame) as Pfn);
const HOST_TABLES = { start: 0x1000 as Pfn, end: 0x1100 as Pfn };
const TABLES = 0x10;
/** Pages for a page list and for what drivers build of it. */
const LIST = 0x20;
const DRIVER_PAGES = { start: 0x21, end: 0x28 } as const;

/** Guest-physical 0 for the kernel, writable and executable in the guest's own tables. */
const DIRECT_MAP = 0xffff_8880_0000_0000n;
/** The same for user code. */
const USER_MAP = 0x0000_1000_0000_0000n;
/** The kernel's text, in a page table that the guest can change. */
export const TEXT_MAP = 0xffff_ffff_8100_0000n;
const TEXT_TABLE = TABLES + 4;

export const REGISTERS = {
  cr0: CR0.PG | CR0.WP | CR0.AM | CR0.NE | CR0.ET | CR0.MP | CR0.PE,
  cr3: BigInt(TABLES) << 12n,
  cr4: CR4.PAE | CR4.PGE | CR4.SMEP | CR4.UMIP,
  efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
  codeSegment64: true,
  cpl: 0,
  rip: (DIRECT_MAP + 0x1_0000n) as VirtualAddress,
} as const;

/** The bytes of text as the kernel was built: RET, filled up with INT3. */
export const APPROVED_WORD = 0xcccc_ccc3;
/** What data holds. */
const DATA_WORD = 0x6174_6164;
/** What an attacker wants to run. */
export const EVIL_WORD = 0x0b0f_0b0f;

/** A machine of a backend with a guest of a few frames. */
export interface TinyGuest {
  readonly vm: VirtualMachine;
  /** All of the host's memory. */
  readonly ram: HostMemory;
  readonly capabilities: Capabilities;
  readonly vcpus: readonly Vcpu[];
  readonly hypervisor: HekiHypervisor;
  /** An event told what a defect did to the host. */
  readonly hostHarmed: boolean;
  /** The words of a frame of guest memory, past every right. */
  words(gfn: number): Uint32Array;
  /** A number that tells the contents of a frame from others. */
  contents(gfn: number): number;
  /** The first word of a frame. */
  firstWord(gfn: number): number;
  /** Asks for rights by the driver's hypercall, on virtual CPU 0 or another. What the driver gives back. */
  ask(ranges: readonly ProtectedRange[], cpu?: number): number;
  /** The same with a page list of raw words: the number of entries that its header states, and where it leads on. */
  askRaw(count: number, next: number, entries: readonly (readonly [number, number, number])[]): number;
  /** Maps the first page of the text to another frame, as who can write the guest's page tables can. */
  mapText(gfn: number): void;
  /** A second slot over the region. */
  addAlias(): void;
  /** Takes it away. */
  removeAlias(): void;
  /** Has memory and registers as `other` has, which a VMM carries over; slots, and what is enforced, are not among them. */
  takeOver(other: TinyGuest): void;
  /** Takes the guest's memory away and gives it back, as memory hotplug and a changed slot do. */
  replaceMemory(): void;
  /** What brings guest, backend and host memory back to where they are now, as often as it is called; `undefined` when the backend cannot. */
  checkpoint(): (() => void) | undefined;
  /** Tells `digest` all that decides what processors may do: the backend, if it can tell, and host memory but for what the frames of {@link FRAMES} hold. */
  digestRights(digest: StateDigest): void;
  /** Tells `digest` all of it: that, the virtual CPUs, and what the frames of {@link FRAMES} hold. */
  digest(digest: StateDigest): void;
}

/** @throws {HypervisorError} when the backend cannot have such a guest */
export function createTinyGuest(
  { create, driver, profile }: ExploredBackend,
  processors: number,
  onYield?: VirtualMachineOptions['onYield'],
): TinyGuest {
  const ram = createHostMemory([
    HOST_TABLES,
    { start: BACKING as Pfn, end: (BACKING + MEMORY.frames) as Pfn },
  ]);
  const tables = new TableFrames(HOST_TABLES);
  let hostHarmed = false;
  const backend = create();
  const vm = backend.createVirtualMachine({
    host: { memory: ram, frames: tables.port },
    onYield,
    onEvent: (event) => {
      hostHarmed ||= 'defect' in event;
    },
  });
  const addMemory = (): void => vm.addMemory({ ...MEMORY, backing: BACKING as Pfn });
  addMemory();
  const words = (gfn: number): Uint32Array => {
    const frame = gfn < ALIAS ? gfn : gfn - ALIAS + REGION.start;
    return ram.writablePage((BACKING + frame) as Pfn) ?? new Uint32Array(PAGE_WORDS);
  };
  buildTables(words);
  words(TEXT).fill(APPROVED_WORD);
  words(DATA).fill(DATA_WORD);
  const vcpus = Array.from({ length: processors }, () =>
    vm.createVcpu({ registers: REGISTERS, onException: () => 'fatal' }),
  );
  const [first] = vcpus;
  if (first === undefined) throw new RangeError(`${processors} processors: expected one at least`);

  /** Who makes the next request. */
  let asking = first;
  const memory = {
    page: (gfn: Gfn) => ram.page((BACKING + gfn) as Pfn),
    writablePage: (gfn: Gfn) => ram.writablePage((BACKING + gfn) as Pfn),
  };
  const free = Array.from(
    { length: DRIVER_PAGES.end - DRIVER_PAGES.start },
    (_, index) => (DRIVER_PAGES.start + index) as Gfn,
  ).reverse();
  const port: { hypervisor: HekiHypervisor | undefined } = { hypervisor: undefined };
  driver(port, {
    vcpu: () => asking,
    memory: {
      memory,
      allocatePage: () => free.pop(),
      freePage(frame) {
        free.push(frame);
        // The lowest is the next, whatever was asked for before: the list is then the same whenever no request is under way.
        free.sort((a, b) => b - a);
      },
      store(frame, offset, bytes) {
        const page = words(frame);
        new Uint8Array(page.buffer, page.byteOffset, page.byteLength).set(bytes, offset);
        return true;
      },
    },
    profile,
    defects: {},
    onWarning: () => {},
  });
  const { hypervisor } = port;
  if (hypervisor === undefined)
    throw new RangeError('a hypervisor without Heki: expected one that guests can ask');

  /** Sends the list. What the guest leaves of it in its own memory decides nothing. */
  const send = (): number => {
    const answer = hypervisor.protectMemory(addressOf(LIST as Gfn));
    words(LIST).fill(0);
    return answer;
  };

  return {
    vm,
    ram,
    capabilities: backend.capabilities,
    vcpus,
    hypervisor,
    get hostHarmed() {
      return hostHarmed;
    },
    words,
    contents: (gfn) => ram.contents((BACKING + gfn) as Pfn),
    firstWord: (gfn) => ram.page((BACKING + gfn) as Pfn)?.[0] ?? 0,
    ask(ranges, cpu = 0) {
      asking = vcpus[cpu] ?? first;
      encodePageList({
        memory,
        frames: [LIST as Gfn],
        ranges,
        directMap: DIRECT_MAP as VirtualAddress,
      });
      return send();
    },
    askRaw(count, next, entries) {
      asking = first;
      const page = words(LIST);
      page.fill(0);
      page.set([0, 0, next, 0, count, 0]);
      for (const [index, [start, end, permissions]] of entries.entries()) {
        const words = [start, end].flatMap((frame) => [
          (frame * 4096) % 2 ** 32,
          Math.floor(frame / 2 ** 20),
        ]);
        page.set([...words, permissions, 0], 6 + 6 * index);
      }
      return send();
    },
    mapText(gfn) {
      words(TEXT_TABLE).set([gfn * 4096 + 0x63, 0], 0);
      for (const vcpu of vcpus) vcpu.invlpg(TEXT_MAP as VirtualAddress);
    },
    addAlias() {
      const frames = REGION.end - REGION.start;
      vm.addMemory({ start: ALIAS as Gfn, frames, backing: (BACKING + REGION.start) as Pfn });
    },
    removeAlias() {
      vm.removeMemory(ALIAS as Gfn);
    },
    takeOver(other) {
      ram.copyFrom(other.ram, BACKING as Pfn);
      for (const [index, { registers }] of other.vcpus.entries()) {
        const values = CARRIED.map((name) => [name, registers[name]] as const);
        Object.assign(vcpus[index]?.registers ?? {}, Object.fromEntries(values));
      }
    },
    replaceMemory() {
      vm.removeMemory(MEMORY.start);
      addMemory();
    },
    checkpoint() {
      const back = vm.digest === undefined ? undefined : vm.checkpoint?.();
      if (back === undefined) return undefined;
      const pages = ram.point();
      const framesBack = tables.checkpoint();
      const harmed = hostHarmed;
      const pagesForLists = [...free];
      return () => {
        // A request that was left in the middle has given none back.
        free.splice(0, free.length, ...pagesForLists);
        ram.restore(pages);
        framesBack();
        hostHarmed = harmed;
        back();
      };
    },
    digest(digest) {
      this.digestRights(digest);
      for (const vcpu of vcpus) vcpu.digest(digest);
      for (const frame of FRAMES) digest.add(this.contents(frame));
    },
    digestRights(digest) {
      ram.digest(digest, HELD);
      tables.digest(digest);
      digest.word(hostHarmed ? 1 : 0);
      vm.digest?.(digest);
    },
  };
}

/** Registers that a VMM carries over. */
const CARRIED = [
  ...GENERAL_REGISTERS,
  ...(['rip', 'rflags', 'cpl', 'cr0', 'cr2', 'cr3', 'cr4', 'efer', 'codeSegment64'] as const),
];

/** Registers that an attacker has as he likes between two instructions: no state is about them. */
export const RESTING = {
  ...Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, 0n])),
  rip: REGISTERS.rip,
  cr2: 0n as VirtualAddress,
};

/** Gives those registers of all processors that do not count one value. */
export function restRegisters({ vcpus }: Pick<TinyGuest, 'vcpus'>): void {
  for (const { registers } of vcpus) {
    for (const name of GENERAL_REGISTERS) if (registers[name] !== 0n) registers[name] = 0n;
    registers.rip = RESTING.rip;
    registers.cr2 = RESTING.cr2;
  }
}

/** 1 GiB leaves for the kernel and for user code, and a page table for the text. */
function buildTables(words: (gfn: number) => Uint32Array): void {
  const put = (table: number, index: number, value: number): void => {
    words(table).set([value, 0], 2 * index);
  };
  const table = (gfn: number, user = 0): number => gfn * 4096 + 0x63 + user;
  put(TABLES, 273, table(TABLES + 1));
  put(TABLES + 1, 0, 0xe3);
  put(TABLES, 32, table(TABLES + 5, 4));
  put(TABLES + 5, 0, 0xe7);
  put(TABLES, 511, table(TABLES + 2));
  put(TABLES + 2, 510, table(TABLES + 3));
  put(TABLES + 3, 8, table(TEXT_TABLE));
  put(TEXT_TABLE, 0, TEXT * 4096 + 0x63);
  put(TEXT_TABLE, 1, DATA * 4096 + 0x63);
}

/** Where the kernel reaches a byte of guest-physical memory. */
export function directAddress(gfn: number, offset = 0): VirtualAddress {
  return (DIRECT_MAP + BigInt(gfn * 4096 + offset)) as VirtualAddress;
}

/** Where user code reaches it. */
export function userAddress(gfn: number): VirtualAddress {
  return (USER_MAP + BigInt(gfn * 4096)) as VirtualAddress;
}

/** The guest-physical address of a frame. */
export function physicalAddress(gfn: number): Gpa {
  return addressOf(gfn as Gfn);
}
