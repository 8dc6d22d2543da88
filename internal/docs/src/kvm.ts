import { describeEptEntry, describeQualification } from '@heki/ept';
import {
  MEM_ATTR_IMMUTABLE as FOR_EVER,
  hypercallResultText,
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  permissionsOfAttributes,
  permissionText,
  MEM_ATTR_READ as R,
  MEM_ATTR_WRITE as W,
  MEM_ATTR_EXEC as X,
} from '@heki/hypercall/kvm';
import type { KvmEvent, KvmOptions } from '@heki/kvm';
import { gfn, hex, readBytes } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { INTEL_VT_RP, type Level } from '@heki/x86';
import { fixtureLeavesTable } from './kvm-fixtures.ts';
import {
  createKvmGuest,
  GUEST_FRAMES,
  type KvmGuest,
  kernelAddress,
  type Leaf,
  type Range,
} from './kvm-guest.ts';
import { violationTrace } from './kvm-trace.ts';
import { markdownTable, type Page, textBlock } from './page.ts';

export const kvmPage: Page = {
  file: 'docs/kvm.md',
  parts: {
    list,
    hypercall,
    attributes,
    leaves,
    revocation,
    'half-list': halfList,
    violation: () => violationTrace('hardened'),
    'violation-rfc-v2': () => violationTrace('rfc-v2'),
    'error-codes': errorCodes,
    mbec,
    transitions,
    fixtures: fixtureLeavesTable,
  },
};

const PROFILES: readonly Profile[] = ['rfc-v2', 'hardened'];

/** What a kernel asks for: text from 4 MiB on, constants from 6 MiB on, data elsewhere. */
const REQUEST: readonly Range[] = [
  [0, 0x400, R | W],
  [0x400, 0x600, R | X | FOR_EVER],
  [0x600, 0x680, R | FOR_EVER],
  [0x680, GUEST_FRAMES, R | W],
];

const rightsText = (permissions: number): string =>
  permissionText(permissions) + ((permissions & FOR_EVER) !== 0 ? ' immutable' : '');

const framesText = (start: number, end: number): string => `${hex(start)}-${hex(end - 1)}`;

/** The page of the list, u64 by u64. */
function list(): string {
  const { memory, writeList } = createKvmGuest();
  const address = writeList(REQUEST);
  const bytes = new Uint8Array(PAGE_LIST_HEADER_SIZE + REQUEST.length * PAGE_LIST_ENTRY_SIZE);
  readBytes(memory, address, bytes);
  const view = new DataView(bytes.buffer);
  const entry = (at: number): string =>
    at < PAGE_LIST_HEADER_SIZE ? 'header' : `entry ${Math.floor(at / PAGE_LIST_ENTRY_SIZE) - 1}`;
  const fields = (at: number): readonly [string, string, string] =>
    at < PAGE_LIST_HEADER_SIZE ? ['next', 'next_pa', 'npages'] : ['pa', 'epa', 'permissions'];
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const value = view.getBigUint64(at, true);
    const field = fields(at)[(at % 24) / 8] ?? '';
    const meaning = field === 'permissions' ? `${value}: ${rightsText(Number(value))}` : hex(value);
    const octets = Array.from(bytes.subarray(at, at + 8), (byte) => byte.toString(16).padStart(2, '0'));
    lines.push(
      `${hex(address + at)}  ${octets.join(' ')}  ${(at % 24 === 0 ? entry(at) : '').padEnd(8)} ${field.padEnd(12)} ${meaning}`,
    );
  }
  return textBlock(lines);
}

/** A guest that ran for a while and then made the request. */
function protectedGuest(options: KvmOptions = {}): KvmGuest {
  const guest = createKvmGuest(options);
  guest.preFault();
  guest.takeTrace();
  guest.protect(REQUEST);
  return guest;
}

function hypercall(): string {
  return textBlock(protectedGuest().takeTrace());
}

function attributes(): string {
  const { vm } = protectedGuest();
  const rows: string[][] = [];
  vm.attributes.forEach(gfn(0), gfn(GUEST_FRAMES), (start, end, value) => {
    rows.push([framesText(start, end), `\`${hex(value)}\``, rightsText(permissionsOfAttributes(value))]);
  });
  return markdownTable(['guest frames', 'attributes', 'meaning'], rows);
}

function leaves(): string {
  const before = createKvmGuest();
  before.preFault();
  const after = protectedGuest();
  const zapped = after.leaves();
  after.preFault();
  return textBlock([
    'before',
    ...leafLines(before.leaves()),
    'when the hypercall returns',
    ...leafLines(zapped),
    'when every page has been used again',
    ...leafLines(after.leaves()),
  ]);
}

const LEAF_SIZES = ['no leaf', '4 KiB', '2 MiB', '1 GiB'];
/** Bits 51:12: the frame of a leaf, with which leaves differ that are otherwise alike. */
const FRAME_BITS = 0xf_ffff_ffff_f000n;

/** Bits 11, 57 and 58: KVM's own notes, which the processor ignores here. */
const SOFTWARE_BITS = (1n << 11n) | (3n << 57n);

/** Runs of leaves of equal size and flags, the first of each run as its bytes say. */
function leafLines(all: readonly Leaf[]): string[] {
  const runs: { first: Leaf; end: number; count: number }[] = [];
  for (const leaf of all) {
    const run = runs.at(-1);
    const alike =
      run !== undefined &&
      run.first.level === leaf.level &&
      (run.first.entry & ~FRAME_BITS) === (leaf.entry & ~FRAME_BITS);
    if (alike) {
      run.end = leaf.end;
      run.count++;
    } else runs.push({ first: leaf, end: leaf.end, count: 1 });
  }
  return runs.map(({ first, end, count }) => {
    const { start, level, entry } = first;
    const frames = framesText(start, Math.min(end, GUEST_FRAMES)).padEnd(13);
    if (level === 0) return `  ${frames}  no leaf`;
    const size = `${String(count).padStart(3)} x ${LEAF_SIZES[level]}`;
    const hardware = entry & ~SOFTWARE_BITS;
    const halves = { low: Number(hardware & 0xffff_ffffn), high: Number(hardware >> 32n) };
    const text = describeEptEntry(level as Level, halves).replace(/^\S+ /, '');
    return `  ${frames}  ${size}  0x${entry.toString(16).padStart(16, '0')} ${text}`;
  });
}

/** The events of a request, under both profiles, one after the other. */
function underBoth(run: (guest: KvmGuest) => void): string {
  return textBlock(
    PROFILES.flatMap((profile) => {
      const guest = protectedGuest({ profile });
      guest.preFault();
      guest.takeTrace();
      run(guest);
      const trace = guest.takeTrace();
      const store = guest.cpu.store(kernelAddress(0x800 * 4096), 8, 1n);
      const then = `frame 0x800 is ${storedText(guest, 0x800)}; a store there: ${store.kind}`;
      return [profile, ...[...trace, `afterwards ${then}`].map((line) => `  ${line}`)];
    }),
  );
}

const storedText = ({ vm }: KvmGuest, frame: number): string =>
  rightsText(permissionsOfAttributes(vm.attributes.get(gfn(frame))));

function revocation(): string {
  return underBoth((guest) => guest.protect([[0x800, 0xa00, R]]));
}

function halfList(): string {
  return underBoth((guest) =>
    guest.protect([
      [0x800, 0x801, R | W | X],
      [0x400, 0x401, R | W | X],
    ]),
  );
}

type EventOf<Type extends KvmEvent['type']> = Extract<KvmEvent, { type: Type }>;

function lastOf<Type extends KvmEvent['type']>(guest: KvmGuest, type: Type): EventOf<Type> | undefined {
  return guest.events.findLast((event): event is EventOf<Type> => event.type === type);
}

/** Every error code that a guest can get, with the violation that it comes from. */
function errorCodes(): string {
  const { ept } = INTEL_VT_RP;
  const page = kernelAddress(0x800 * 4096);
  const reportsRead = (readModifyWriteReportsRead: boolean): KvmOptions =>
    ept === undefined ? {} : { processor: { ...INTEL_VT_RP, ept: { ...ept, readModifyWriteReportsRead } } };
  const addOne = (guest: KvmGuest) => guest.cpu.readModifyWrite(page, 8, (old) => old + 1n);
  const cases: readonly [string, KvmOptions, Range, (guest: KvmGuest) => void][] = [
    ['store to a page that is r--', {}, [0x800, 0x801, R], ({ cpu }) => cpu.store(page, 8, 1n)],
    ['fetch from a page that is rw-', {}, [0x800, 0x801, R | W], ({ cpu }) => cpu.fetch(page)],
    ['`lock add` to a page that is r--', reportsRead(false), [0x800, 0x801, R], addOne],
    ['the same, on a processor that reports its read too', reportsRead(true), [0x800, 0x801, R], addOne],
    ['load through a guest page table that is r--', {}, [0x100, 0x104, R], ({ cpu }) => cpu.load(page, 8)],
  ];
  return markdownTable(
    ['access', 'exit qualification', "KVM's error code", '#PF'],
    cases.map(([title, options, range, access]) => {
      const guest = createKvmGuest(options);
      guest.protect([range]);
      access(guest);
      const violation = lastOf(guest, 'ept-violation');
      const injected = lastOf(guest, 'injected');
      return [
        title,
        violation === undefined ? '-' : describeQualification(violation.qualification),
        violation === undefined ? '-' : `\`${hex(violation.errorCode)}\``,
        injected === undefined ? 'none' : `\`${hex(injected.exception.errorCode)}\``,
      ];
    }),
  );
}

const REQUESTS: readonly number[] = [R, R | W, R | X, R | W | X];

function mbec(): string {
  const frame = 0x800;
  const page = kernelAddress(frame * 4096);
  const can = (yes: boolean | undefined): string => (yes === true ? 'yes' : 'no');
  const rows = [true, false].flatMap((on) =>
    REQUESTS.map((permissions) => {
      const guest = createKvmGuest({ mbec: on });
      guest.protect([[frame, frame + 1, permissions]]);
      guest.cpu.load(page, 8);
      const entry = guest.leaves().find(({ start }) => start === frame)?.entry ?? 0n;
      const bit = (position: bigint): string => ((entry >> position) & 1n).toString();
      const range = lastOf(guest, 'range');
      return [
        on ? 'on' : 'off',
        permissionText(permissions),
        `${range?.outcome ?? ''}${range?.outcome === 'weakened' ? ` to ${storedText(guest, frame)}` : ''}`,
        `${bit(0n)} ${bit(1n)} ${bit(2n)} ${bit(10n)}`,
        can(guest.cpu.store(page, 8, 1n).kind === 'done'),
        can(guest.cpu.fetch(page).kind === 'done'),
        can(guest.vm.effectiveRights(gfn(frame))?.userExecute),
      ];
    }),
  );
  return markdownTable(
    [
      'MBEC',
      'asked for',
      'outcome',
      'leaf: R W X XU',
      'kernel stores',
      'kernel executes',
      'user code may execute',
    ],
    rows,
  );
}

function transitions(): string {
  const frame = 0x800;
  return PROFILES.map((profile) => {
    const rows = [undefined, ...REQUESTS].map((current) => [
      current === undefined ? 'none' : permissionText(current),
      ...REQUESTS.map((wanted) => {
        const guest = createKvmGuest({ profile });
        if (current !== undefined) guest.protect([[frame, frame + 1, current]]);
        const result = guest.protect([[frame, frame + 1, wanted]]);
        const stored = storedText(guest, frame);
        const text = stored === permissionText(wanted) ? stored : `**${stored}**`;
        return result === 0 ? text : `${text} ${hypercallResultText(result)}`;
      }),
    ]);
    const head = ['page is', ...REQUESTS.map((wanted) => `asked: ${permissionText(wanted)}`)];
    return `\`${profile}\`:\n\n${markdownTable(head, rows)}`;
  }).join('\n\n');
}
