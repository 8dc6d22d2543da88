import {
  addressOf,
  type Gfn,
  type Gpa,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  writeBytes,
} from '@heki/physical-memory';
import { kernelTableFrames, mappedFrame, type ProvenRoot } from '@heki/vmcore';
import { type MappingLeaf, PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import { NotExpressible } from '../attack/not-expressible.ts';
import { EPERM, KERNEL_FUNCTIONS, NOP5, returning } from './functions.ts';
import type { Places } from './places.ts';
import type { SnapshotKernel } from './snapshot-kernel.ts';

/** `__START_KERNEL_map`, and 1 GiB from there (KERNEL_IMAGE_SIZE). */
const IMAGE = { start: VIRTUAL_FRAME_END - 2 ** 19, end: VIRTUAL_FRAME_END - 2 ** 18 } as const;
/** Pages of the attacker's at most: no attack takes more. */
const MOST_PAGES = 16;
/** Table pages that are told apart from data at most. */
const MOST_TABLES = 2 ** 20;

/** Where things are put and looked for in the kernel of a snapshot. */
export interface SnapshotPlaces extends Places {
  /** Pages of data, each mapped alone, that an attacker may have: in no table's place. */
  readonly pages: readonly VirtualAddress[];
  /** The frames behind all these. */
  readonly frames: ReadonlySet<Gfn>;
  /** What is put where, before Heki looks. */
  readonly put: readonly { readonly at: Gpa; readonly bytes: Uint8Array }[];
}

const isWritable = ({ effective }: MappingLeaf): boolean => (effective & PageRights.WRITE) !== 0;
const isExecutable = ({ effective }: MappingLeaf): boolean => (effective & PageRights.EXECUTE_DISABLE) === 0;
const isUser = ({ effective }: MappingLeaf): boolean => (effective & PageRights.USER) !== 0;

/**
 * Places by the kernel's mappings alone: text is what the image maps executable, rodata what it maps read-only, data what it maps writable.
 *
 * @throws {NotExpressible} when the image has not enough of one of them
 */
export function snapshotPlaces({ kernel, registers, memoryMap }: SnapshotKernel): SnapshotPlaces {
  const tables = new Set(kernelTableFrames(kernel, MOST_TABLES));
  const isRam = (frame: number): boolean =>
    memoryMap.entries.some(({ type, start, end }) => type === 'ram' && frame >= start && frame < end);
  const isFree = (frame: Gfn): boolean => isRam(frame) && !tables.has(frame);
  const text: VirtualFrame[] = [];
  const rodata: VirtualFrame[] = [];
  const data: VirtualFrame[] = [];
  const pages: VirtualAddress[] = [];
  walkMappings(kernel, upperHalfStart(kernel.levels), VIRTUAL_FRAME_END as VirtualFrame, (leaf) => {
    if (isUser(leaf)) return;
    const inImage = leaf.virtualFrame >= IMAGE.start && leaf.virtualFrame < IMAGE.end;
    if (!inImage) {
      const { virtualFrame, guestFrame, level } = leaf;
      const mine = level === 1 && isWritable(leaf) && !isExecutable(leaf) && isFree(guestFrame);
      if (mine && pages.length < MOST_PAGES) pages.push(virtualAddressOf(virtualFrame));
      return;
    }
    const list = isWritable(leaf)
      ? isExecutable(leaf)
        ? undefined
        : data
      : isExecutable(leaf)
        ? text
        : rodata;
    for (let page = 0; list !== undefined && page < leaf.frames; page++) {
      if (isFree((leaf.guestFrame + page) as Gfn)) list.push((leaf.virtualFrame + page) as VirtualFrame);
    }
  });
  const at = (what: string, list: readonly VirtualFrame[], index: number, offset: number): VirtualAddress => {
    const frame = list[index];
    if (frame === undefined)
      throw new NotExpressible(
        `the kernel of the snapshot has ${list.length} pages of ${what}: expected more`,
      );
    return (virtualAddressOf(frame) + BigInt(offset)) as VirtualAddress;
  };
  const { check, allow, grant, alive } = KERNEL_FUNCTIONS;
  // What is put there must not lie in one leaf with what is remapped: half of the text is between.
  const far = Math.floor(text.length / 2);
  const found = {
    check: at('text', text, 1, check.offset % 4096),
    keySite: at('text', text, 1, 0x80),
    tracedSite: at('text', text, 1, 0xc0),
    allow: at('text', text, far, allow.offset % 4096),
    grant: at('text', text, far, grant.offset % 4096),
    alive: at('text', text, text.length - 1, alive.offset % 4096),
    rodata: at('rodata', rodata, 1, 0x100),
    vdso: at('rodata', rodata, 2, 0),
    one: at('rodata', rodata, 3, 0x100),
    credentials: at('data', data, 1, 0x800),
  };
  const idt = registers.idtr?.base;
  const gpa = (va: VirtualAddress): Gpa => (addressOf(frameAt(kernel, va)) + Number(va % 4096n)) as Gpa;
  const put = [
    { at: gpa(found.check), bytes: returning(check.returns) },
    { at: gpa(found.allow), bytes: returning(allow.returns) },
    { at: gpa(found.grant), bytes: returning(grant.returns) },
    { at: gpa(found.alive), bytes: returning(alive.returns) },
    ...[found.keySite, found.tracedSite].map((site) => ({
      at: gpa(site),
      bytes: Uint8Array.of(...NOP5, ...returning(EPERM)),
    })),
    { at: gpa(found.rodata), bytes: new Uint8Array(8).fill(0x11) },
    { at: gpa(found.vdso), bytes: returning(0) },
    { at: gpa(found.one), bytes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) },
    { at: gpa(found.credentials), bytes: Uint8Array.of(0xe8, 3, 0, 0, 0xe8, 3, 0, 0) },
  ];
  const mapped = [...Object.values(found), ...pages].map((va) => frameAt(kernel, va));
  const absent = (what: string): never => {
    throw new NotExpressible(`a snapshot does not tell where ${what}`);
  };
  return {
    ...found,
    get idt() {
      return idt === undefined || idt === 0n
        ? absent('the IDT is')
        : (BigInt.asUintN(64, idt) as VirtualAddress);
    },
    get pokeVector() {
      return absent('what the breakpoint handler goes by is');
    },
    get pokeDescriptor() {
      return absent('what the breakpoint handler goes by is');
    },
    get heki() {
      return absent('variables of Heki are: its kernel has none');
    },
    get hekiOperations() {
      return absent('operations of a driver for Heki are: its kernel has none');
    },
    pages,
    frames: new Set(mapped),
    put,
  };
}

/** @throws {NotExpressible} */
function frameAt(kernel: ProvenRoot, va: VirtualAddress): Gfn {
  const frame = mappedFrame(kernel, Number(va / 4096n) as VirtualFrame);
  if (frame === undefined) throw new NotExpressible('what was mapped is not mapped');
  return frame;
}

/** Puts the functions and constants of the attacks into a machine's memory. */
export function placeLabCode(memory: PhysicalMemory<Gfn>, { put }: Pick<SnapshotPlaces, 'put'>): void {
  for (const { at, bytes } of put) writeBytes(memory, at, bytes);
}
