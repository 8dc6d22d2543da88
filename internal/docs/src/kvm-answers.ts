import {
  MEM_ATTR_IMMUTABLE as FOR_EVER,
  hypercallResultText,
  KvmHypercall,
  PAGE_LIST_HEADER_SIZE,
  MEM_ATTR_READ as R,
  MEM_ATTR_WRITE as W,
  MEM_ATTR_EXEC as X,
} from '@heki/hypercall/kvm';
import { Errno, type KvmOptions, MemslotFlag, type UserspaceMemoryRegion } from '@heki/kvm';
import { type Gpa, writeU64 } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { CR0, CR4 } from '@heki/x86';
import { createKvmGuest, GUEST_FRAMES, type KvmGuest, type Range } from './kvm-guest.ts';
import { markdownTable } from './page.ts';

const PROFILES: readonly Profile[] = ['rfc-v2', 'hardened'];

/** A request, and how it is made; the answer of the hypercall. */
type Case = readonly [title: string, request: (guest: KvmGuest) => number];

function table(cases: readonly Case[], options: KvmOptions = {}): string {
  return markdownTable(
    ['request', '`rfc-v2`', '`hardened`'],
    cases.map(([title, request]) => [
      title,
      ...PROFILES.map((profile) => {
        const guest = createKvmGuest({ ...options, profile });
        return answerOf(guest, request);
      }),
    ]),
  );
}

/** The answer, what became of the ranges where that is not a matter of course, and what it would have done to the host. */
function answerOf(guest: KvmGuest, request: (guest: KvmGuest) => number): string {
  const result = request(guest);
  const notes: string[] = [];
  const dropped = guest.events.filter(
    (event) => event.type === 'range' && event.outcome === 'dropped',
  ).length;
  if (dropped > 0) notes.push('nothing is done (B-H1)');
  const answer = guest.events.findLast((event) => event.type === 'protected');
  if (result !== 0 && answer?.type === 'protected' && answer.result.applied > 0) {
    notes.push(`${answer.result.applied} range in force (B-H6)`);
  }
  for (const event of guest.events) {
    if ('defect' in event) notes.push(`\`${event.type}\`: ${event.amount} ${event.unit} (${event.defect})`);
  }
  return [`\`${hypercallResultText(result)}\``, ...notes].join('; ');
}

const LIST = 0x20_0000;
/** A list of one good range, with u64 of its page replaced. */
const edited =
  (...words: readonly (readonly [offset: number, value: number])[]) =>
  (guest: KvmGuest): number => {
    const list = guest.writeList([[0x800, 0x801, R]]);
    for (const [offset, value] of words) {
      writeU64(guest.memory, (list + offset) as Gpa, {
        low: value % 2 ** 32,
        high: Math.floor(value / 2 ** 32),
      });
    }
    return guest.hypercall(KvmHypercall.PROTECT_MEMORY, BigInt(list));
  };
const at = (address: number) => (guest: KvmGuest) =>
  guest.hypercall(KvmHypercall.PROTECT_MEMORY, BigInt(address));
const asking =
  (...ranges: readonly Range[]) =>
  (guest: KvmGuest) =>
    guest.protect(ranges);

const NEXT_PA = 8;
const NPAGES = 16;
const PA = PAGE_LIST_HEADER_SIZE;
const EPA = PA + 8;
const PERMISSIONS = PA + 16;

/** Requests one after the other; the answer of the last. */
const inTurn =
  (...requests: readonly ((guest: KvmGuest) => number)[]) =>
  (guest: KvmGuest): number =>
    requests.map((request) => request(guest)).at(-1) ?? 0;

/** The request, made by a program. */
const fromProgram =
  (request: (guest: KvmGuest) => number) =>
  (guest: KvmGuest): number => {
    guest.cpu.registers.cpl = 3;
    return request(guest);
  };

/** Hypercall 14: each way in which a page list can be wrong. */
export function protectMemoryAnswers(): string {
  const immutable = asking([0x800, 0x801, R | FOR_EVER]);
  return table([
    ['rights for pages that have none yet', asking([0x800, 0x900, R | W])],
    ['fewer rights than the pages have', inTurn(asking([0x800, 0x801, R | W]), asking([0x800, 0x801, R]))],
    ['an immutable page, even with the same rights', inTurn(immutable, immutable)],
    ['a good range, then an empty one', asking([0x800, 0x801, R], [0x900, 0x900, R])],
    ['the empty list: RBX is 0', at(0)],
    ['from CPL 3', fromProgram(at(LIST))],
    ['a list where no memory is', at(0x4000_0000)],
    ['a list at an address that is not a multiple of 4,096', at(LIST + 8)],
    ['a list whose `next_pa` leads back to it', edited([NEXT_PA, LIST])],
    ['`npages` is 170', edited([NPAGES, 170])],
    ['`pa` is not page aligned', edited([PA, 0x80_0800])],
    ['`epa` is not above `pa`', edited([EPA, 0x80_0000])],
    ['a range of 2^40 frames', edited([EPA, 2 ** 52 - 4096])],
    ['a range behind the end of memory (B-H5)', asking([GUEST_FRAMES, GUEST_FRAMES + 1, R])],
    ['`permissions` is 0', edited([PERMISSIONS, 0])],
    ['`permissions` has an unknown bit', edited([PERMISSIONS, 0x11])],
    ['WRITE without READ (B-H18)', asking([0x800, 0x801, W])],
    ['EXEC without READ (B-H18)', asking([0x800, 0x801, X])],
  ]);
}

const pin =
  (cr: number, bits: bigint, flags = 0n) =>
  (guest: KvmGuest) =>
    guest.hypercall(KvmHypercall.LOCK_CR_UPDATE, BigInt(cr), bits, flags);

/** Hypercall 13: the version, pins, refusals. */
export function lockCrAnswers(): string {
  return table([
    ['the version: RBX 0, RCX 0, RDX 1', pin(0, 0n, 1n)],
    ['pin CR0.WP', pin(0, CR0.WP)],
    ['pin CR4.SMEP and SMAP', pin(4, CR4.SMEP | CR4.SMAP)],
    ['pin nothing', pin(4, 0n)],
    ['pin bits of CR0 without WP', pin(0, CR0.PG)],
    ['pin CR4.PAE, which is not in the mask', pin(4, CR4.PAE)],
    ['pin CR4.FSGSBASE, which the guest has not set (B-H20)', pin(4, CR4.FSGSBASE)],
    ['pin bits of CR3', pin(3, 1n)],
    ['an unknown flag in RDX', pin(4, CR4.SMEP, 2n)],
    ['hypercall 99', (guest) => guest.hypercall(99)],
  ]);
}

const ERRNO_NAMES = new Map<number, string>(
  Object.entries(Errno).map(([name, number]) => [-number, `-${name}`]),
);

/** What the ioctls answer to requests, right and wrong. */
export function ioctlAnswers(): string {
  const region: UserspaceMemoryRegion = {
    slot: 1,
    flags: 0,
    guestPhysicalAddress: 0x1_0000_0000n,
    memorySize: 0x10_0000n,
    userspaceAddress: 0x0n,
  };
  const live = {
    ...region,
    slot: 0,
    guestPhysicalAddress: 0n,
    memorySize: BigInt(GUEST_FRAMES) << 12n,
    userspaceAddress: 0x400_0000n,
  };
  const attributes = { address: 0x80_0000n, size: 0x1000n, attributes: 8n, flags: 0n };
  const cases: readonly [string, string, KvmOptions, (guest: KvmGuest) => number | readonly number[]][] = [
    ['`setUserMemoryRegion`', 'a new slot', {}, ({ vm }) => vm.ioctls.setUserMemoryRegion(region)],
    [
      '',
      'a slot that overlaps another',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...region, guestPhysicalAddress: 0n }),
    ],
    [
      '',
      'an address or a size that is not a multiple of 4,096',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...region, memorySize: 0x800n }),
    ],
    [
      '',
      'the live slot 0 with another size',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...live, memorySize: 0x1000n }),
    ],
    [
      '',
      'the live slot 0 with READONLY',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...live, flags: MemslotFlag.READONLY }),
    ],
    [
      '',
      'the live slot 0 with a dirty log',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...live, flags: MemslotFlag.LOG_DIRTY_PAGES }),
    ],
    [
      '',
      'slot 0 deleted: size 0',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...live, memorySize: 0n }),
    ],
    [
      '',
      'a slot deleted that does not exist',
      {},
      ({ vm }) => vm.ioctls.setUserMemoryRegion({ ...region, memorySize: 0n }),
    ],
    [
      '`setMemoryAttributes`',
      'PRIVATE, in a VM with private memory',
      { privateMemory: true },
      ({ vm }) => vm.ioctls.setMemoryAttributes(attributes),
    ],
    ['', 'PRIVATE, in a VM without', {}, ({ vm }) => vm.ioctls.setMemoryAttributes(attributes)],
    [
      '',
      "one of Heki's attributes",
      { privateMemory: true },
      ({ vm }) => vm.ioctls.setMemoryAttributes({ ...attributes, attributes: 0x10n }),
    ],
    [
      '',
      'no frames, or unaligned ones',
      { privateMemory: true },
      ({ vm }) => vm.ioctls.setMemoryAttributes({ ...attributes, size: 0n }),
    ],
    ['`getDirtyLog`', 'a slot without a log', {}, ({ vm }) => vm.ioctls.getDirtyLog(0)],
    [
      '`enableCapability`',
      'a capability that does not exist',
      {},
      ({ vm }) => vm.ioctls.enableCapability(1, 0n),
    ],
  ];
  return markdownTable(
    ['ioctl', 'request', 'answer'],
    cases.map(([ioctl, title, options, request]) => {
      const result = request(createKvmGuest(options));
      return [
        ioctl,
        title,
        `\`${typeof result === 'number' ? (ERRNO_NAMES.get(result) ?? result) : 'frames'}\``,
      ];
    }),
  );
}
