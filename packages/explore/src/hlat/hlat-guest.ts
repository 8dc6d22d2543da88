import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import { createStateDigest, type Gfn, type VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { DATA, TEXT } from '../backend/frames.ts';
import {
  createTinyGuest,
  type ExploredBackend,
  REGISTERS,
  restRegisters,
  TEXT_MAP,
  type TinyGuest,
} from '../backend/tiny-guest.ts';

/** Read-only data that happens to look like a page table: its entries lead to the data, and are not accessed yet. */
export const RODATA = 0x202;
const FRAMES = [TEXT, DATA, RODATA] as const;

/** Guest frames of the tables: `TinyGuest` has the first six. */
const TABLES = 0x10;
const [DIRECT_TABLE, DIRECTORY, PAGE_TABLE] = [TABLES + 1, TABLES + 3, TABLES + 4] as const;
/** The attacker's own: another root, whose page table leads the address of the text to the data. */
const [OWN_ROOT, OWN_TOP, OWN_DIRECTORY, OWN_TABLE] = [
  TABLES + 6,
  TABLES + 7,
  TABLES + 8,
  TABLES + 9,
] as const;

/** Entries: a table; code; data; read-only data. */
const TABLE = 0x63;
const CODE = 0x61;
const WRITABLE = 0x63;
const READ_ONLY = 0x61;
const XD = 0x8000_0000;

/** Addresses of the image, by their entry in the page table. Nothing is mapped at the last one. */
const PLACES = ['text', 'rodata', 'free'] as const;
export type Place = (typeof PLACES)[number];
/** Where a walk goes through {@link RODATA}, once the directory says so. */
const THROUGH_RODATA = (TEXT_MAP + 0x20_0000n) as VirtualAddress;

/** Where the bytes of a frame are that tell it from others. */
const MARK = 0x10;
/** Where stores go. */
const STORED = 0x800;

function addressOf(place: Place, offset: number): VirtualAddress {
  return (TEXT_MAP + BigInt(PLACES.indexOf(place) * 4096 + offset)) as VirtualAddress;
}

/** What is asked for a frame. */
export const ASKED = {
  code: MEM_ATTR_READ | MEM_ATTR_EXEC,
  constant: MEM_ATTR_READ,
  data: MEM_ATTR_READ | MEM_ATTR_WRITE,
} as const;

/** A kernel whose direct map is not executable, with an image of three pages, and who has asked for what. */
export class HlatGuest {
  readonly #guest: TinyGuest;
  /** Where addresses must lead: where they led when what they lead to was protected from stores. */
  readonly #listed = new Map<Place, number>();
  /** Frames that are protected from stores. */
  readonly #closed = new Set<number>();
  /** Properties that the last action broke. */
  readonly fallen = new Set<string>();

  constructor(backend: ExploredBackend) {
    const guest = createTinyGuest(backend, 2);
    this.#guest = guest;
    guest.words(DIRECT_TABLE).set([0xe3, XD]);
    this.map('text', TEXT, 'code');
    this.map('rodata', RODATA, 'constant');
    guest.words(PAGE_TABLE).set([0, 0], 4);
    const lead = (table: number, index: number, to: number): void =>
      guest.words(table).set([to * 4096 + TABLE, 0], 2 * index);
    for (const [index, to] of [
      [273, DIRECT_TABLE],
      [511, OWN_TOP],
    ] as const)
      lead(OWN_ROOT, index, to);
    lead(OWN_TOP, 510, OWN_DIRECTORY);
    lead(OWN_DIRECTORY, 8, OWN_TABLE);
    guest.words(OWN_TABLE).set([DATA * 4096 + CODE, 0]);
    const entries = guest.words(RODATA);
    for (let index = 0; index < 512; index++) entries.set([DATA * 4096 + 3, 0], 2 * index);
    for (const frame of FRAMES) guest.words(frame)[MARK / 4] = frame;
  }

  get vcpus(): readonly Vcpu[] {
    return this.#guest.vcpus;
  }

  /** Whoever can write the kernel's tables maps an address; what processors have cached stays. */
  map(place: Place, frame: number, as: keyof typeof ASKED): void {
    const bits = as === 'code' ? [CODE, 0] : as === 'data' ? [WRITABLE, XD] : [READ_ONLY, XD];
    const [low = 0, high = 0] = bits;
    this.#guest.words(PAGE_TABLE).set([frame * 4096 + low, high], 2 * PLACES.indexOf(place));
  }

  /** Has the directory lead to the read-only data as if it were a page table. */
  mapThroughRodata(): void {
    this.#guest.words(DIRECTORY).set([RODATA * 4096 + TABLE, 0], 18);
  }

  /** The kernel asks on processor 0, whose tables say which addresses are meant. */
  ask(frame: number, what: keyof typeof ASKED): void {
    const range = { start: frame as Gfn, end: (frame + 1) as Gfn, permissions: ASKED[what] };
    if (this.#guest.ask([range]) !== 0) return;
    if (what === 'data') {
      this.#closed.delete(frame);
      for (const [place, led] of this.#listed) if (led === frame) this.#listed.delete(place);
      return;
    }
    this.#closed.add(frame);
    const own = this.vcpus[0]?.registers.cr3 === BigInt(OWN_ROOT) << 12n;
    const table = this.#guest.words(own ? OWN_TABLE : PAGE_TABLE);
    for (const [index, place] of PLACES.entries()) {
      const entry = table[2 * index] ?? 0;
      if ((entry & 1) !== 0 && Math.floor(entry / 4096) === frame && !this.#listed.has(place))
        this.#listed.set(place, frame);
    }
  }

  /** A processor loads another root, or the kernel's. */
  loadTables(cpu: Vcpu, own: boolean): void {
    cpu.movToCr(3, own ? BigInt(OWN_ROOT) << 12n : REGISTERS.cr3);
  }

  forget(cpu: Vcpu): void {
    for (const place of PLACES) cpu.invlpg(addressOf(place, 0));
  }

  /** A processor reads or executes at an address of the image: which frame it got to decides. */
  reach(cpu: Vcpu, how: 'reads' | 'executes', place: Place): void {
    const va = addressOf(place, MARK);
    const outcome = how === 'executes' ? cpu.fetch(va, 4) : cpu.load(va, 4);
    if (outcome.kind !== 'done') return;
    const [b0 = 0, b1 = 0] =
      typeof outcome.value === 'bigint'
        ? [Number(outcome.value & 0xffn), Number((outcome.value >> 8n) & 0xffn)]
        : outcome.value;
    const frame = b0 + 256 * b1;
    const listed = this.#listed.get(place);
    if (listed !== undefined && frame !== listed) this.fallen.add('P7');
    if (listed === undefined && this.#closed.has(frame)) this.fallen.add('ALIAS');
  }

  store(cpu: Vcpu, place: Place): void {
    cpu.store(addressOf(place, STORED), 4, 0x0b0f_0b0fn);
  }

  /** A walk goes through the read-only data. */
  readThroughRodata(cpu: Vcpu): void {
    cpu.load((THROUGH_RODATA + BigInt(MARK)) as VirtualAddress, 4);
  }

  /** Does one thing, and looks whether what is protected has changed. */
  live(action: (guest: HlatGuest) => boolean): boolean {
    this.fallen.clear();
    const before = new Map([...this.#closed].map((frame) => [frame, this.#guest.contents(frame)]));
    if (!action(this)) return false;
    restRegisters(this.#guest);
    for (const [frame, bytes] of before) {
      if (this.#closed.has(frame) && this.#guest.contents(frame) !== bytes) this.fallen.add('P12');
    }
    return true;
  }

  /** Tells states apart: all memory, what processors have, and where addresses must lead. HLAT's tables are in the host's memory. */
  key(): string {
    const digest = createStateDigest();
    this.#guest.digest(digest);
    digest.add(this.#guest.contents(RODATA));
    for (const { registers, controls } of this.vcpus) {
      digest.addU64(registers.cr3);
      digest.word(controls.hlat === undefined ? 0 : 1);
    }
    const listed = PLACES.map((place) => this.#listed.get(place) ?? 0);
    return `${digest.number} ${listed.join()} ${[...this.#closed].sort().join()}`;
  }
}
